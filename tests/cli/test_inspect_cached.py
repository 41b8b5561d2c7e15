"""`inspect` builds a network the first time; the next time it needs no torch, and says the same."""

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
    """Each as it is built, and then as it is kept."""
    commands = [["inspect", *shown] for shown in SHOWN]
    built = place.run_several(commands)
    return dict(zip(SHOWN, zip(built, place.run_several(commands), strict=True), strict=True))


@pytest.mark.parametrize("shown", SHOWN, ids=" ".join)
def test_what_is_kept_is_shown_as_what_was_built(outcomes, shown):
    built, kept = outcomes[shown]
    assert built.code == 0, built.err
    assert kept == built


def loaded(place, *args, **changes):
    """What is loaded of what takes long, and the rest of what a command prints."""
    printed = place.python(LOADED, json.dumps(args), **changes)
    text, _, said = printed.rpartition("loaded: ")
    code, _, names = said.strip().partition(" ")
    assert code == "0", printed
    return names, text


@pytest.mark.parametrize("shown", SHOWN, ids=" ".join)
def test_a_network_that_was_shown_needs_no_torch(place, outcomes, shown):
    assert loaded(place, "inspect", *shown)[0] == "[]"


def test_only_the_first_time_needs_torch(place):
    args = ("inspect", "lenet5", "--classes", "3", "--freeze", "*")
    assert "torch" in loaded(place, *args)[0]
    assert loaded(place, *args)[0] == "[]"


def test_a_network_of_other_code_is_built(place):
    args = ("inspect", "timm/vit_tiny_patch16_224", "--format", "csv")
    _, stored = loaded(place, *args)
    names, text = loaded(place, *args, TIMM_FUSED_ATTN="0")
    assert "torch" in names
    unused, used = "attn_drop,Dropout,4,,", "attn_drop,Dropout,4,1x3x197x197,"
    assert used in text
    assert unused in stored
    assert used not in stored
