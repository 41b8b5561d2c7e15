"""`inspect` of a network as it is: at once, without torch, and as if it had been built."""

import json

import pytest

NAMES = ("resnet18", "timm/vit_tiny_patch16_224", "efficientnet_lite0", "lenet5")
WAYS = (
    (),
    ("--json",),
    ("--formulas",),
    ("--depth", "1"),
    ("--format", "markdown"),
    ("--format", "csv", "--depth", "2"),
)

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
    """Each network in each way, as it is stored and as it is built: `--batch 1` has it built."""
    commands = {
        (name, way, batch): ["inspect", name, *way, *batch]
        for name in NAMES
        for way in WAYS
        for batch in ((), ("--batch", "1"))
    }
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_stored_is_shown_as_what_is_built(outcomes, name, way):
    stored, built = outcomes[name, way, ()], outcomes[name, way, ("--batch", "1")]
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
    names, text = loaded(place, "inspect", "timm/vit_tiny_patch16_224", TIMM_FUSED_ATTN="0")
    assert "torch" in names
    _, stored = loaded(place, "inspect", "timm/vit_tiny_patch16_224")
    assert "attn_drop  Dropout  -" in " ".join(text.split()).replace(" ", "  ")
    assert text != stored
