"""`inspect` of a network as it is: at once, without torch, and as if it had been built."""

import json

import pytest

SHOWN = (
    ("resnet18",),
    ("resnet18", "--depth", "1"),
    ("resnet18", "--formulas"),
    ("lenet5", "--format", "markdown"),
    ("lenet5", "--format", "csv", "--depth", "2"),
    ("lenet5", "--json"),
    ("timm/vit_tiny_patch16_224", "--json"),
    ("efficientnet_lite0", "--json"),
)
"""A network of each source, and each way to show one."""

LOADED = """\
import json, sys
from budwood.cli import main
sys.argv = ["budwood", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    heavy = {"torch", "torchvision", "timm", "openvino", "numpy", "sklearn"}
    print(f"loaded: {end.code} {sorted(heavy & set(sys.modules))}")
"""


@pytest.fixture(scope="module")
def outcomes(place):
    """Each as it is stored and as it is built: `--batch 1` has it built."""
    commands = {
        (shown, batch): ["inspect", *shown, *batch]
        for shown in SHOWN
        for batch in ((), ("--batch", "1"))
    }
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


@pytest.mark.parametrize("shown", SHOWN, ids=" ".join)
def test_what_is_stored_is_shown_as_what_is_built(outcomes, shown):
    stored, built = outcomes[shown, ()], outcomes[shown, ("--batch", "1")]
    assert stored.code == 0, stored.err
    assert stored == built


def loaded(place, *args, **changes):
    """What is loaded of what takes long, and the rest of what a command prints."""
    printed = place.python(LOADED, json.dumps(args), **changes)
    text, _, said = printed.rpartition("loaded: ")
    code, _, names = said.strip().partition(" ")
    assert code == "0", printed
    return names, text


@pytest.mark.parametrize(
    "args",
    [
        ("resnet50", "--json"),
        ("vgg16",),
        ("timm/vit_tiny_patch16_224", "--formulas", "--depth", "2"),
        ("efficientnet_b0_2019", "--format", "csv"),
    ],
    ids=" ".join,
)
def test_a_network_as_it_is_needs_no_torch(place, args):
    names, _ = loaded(place, "inspect", *args)
    assert names == "[]"


def test_a_network_of_other_code_is_built(place):
    args = ("inspect", "timm/vit_tiny_patch16_224", "--format", "csv")
    names, text = loaded(place, *args, TIMM_FUSED_ATTN="0")
    assert "torch" in names
    unused, used = "attn_drop,Dropout,4,,", "attn_drop,Dropout,4,1x3x197x197,"
    assert used in text
    _, stored = loaded(place, *args)
    assert unused in stored
    assert used not in stored
