"""`models` and `inspect`: networks by name, without their weights."""

import json
import re

import pytest

from budwood.models.catalog import list_models

MEASURED = """\
import json, pathlib, re, sys
from budwood.cli import main
sys.argv = ["budwood", "inspect", "resnet152", "--classes", "5", "--json"]
status = pathlib.Path("/proc/self/status")
try:
    main()
except SystemExit as end:
    print(json.dumps([
        end.code,
        "timm" in sys.modules,
        int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) / 1024,
    ]))
"""


@pytest.fixture(scope="module")
def outcomes(place):
    """Several commands in one process."""
    commands = {
        "models": ["models"],
        "models json": ["models", "resnet*", "--json"],
        "vgg": ["inspect", "vgg16", "--json"],
        "surgery": ["inspect", "resnet18", "--freeze", "*", "--unfreeze", "fc", "--depth", "1"],
        "new head": ["inspect", "resnet18", "--classes", "3", "--head", "mlp:8", "--json"],
        "input": ["inspect", "resnet18", "--input", "3,64,96", "--json"],
        "no layer": ["inspect", "resnet18", "--freeze", "layer9.*"],
    }
    return dict(zip(commands, place.run_several(list(commands.values())), strict=True))


def test_models_lists_the_whole_catalogue(outcomes):
    lines = outcomes["models"].out.splitlines()
    assert len(lines) == len(list_models())
    assert re.search(r"^vgg16 +138\.36 M +3x224x224  torchvision$", outcomes["models"].out, re.M)


def test_models_takes_a_glob(outcomes):
    found = outcomes["models json"].json["models"]
    assert {"resnet18", "resnet152"} <= {one["name"] for one in found}
    assert all("resnet" in one["name"] for one in found)
    assert found[0].keys() == {"name", "source", "parameters", "input"}


def test_inspect_counts_every_parameter(outcomes):
    result = outcomes["vgg"].json
    assert result["parameters"]["total"] == result["parameters"]["trainable"] == 138357544
    assert result["input"] == [1, 3, 224, 224]


def test_inspect_shows_what_would_be_frozen(outcomes):
    assert "of these trainable 513,000" in outcomes["surgery"].out
    assert re.search(r"^layer4 +Sequential +frozen", outcomes["surgery"].out, re.M)


def test_inspect_shows_another_head(outcomes):
    assert outcomes["new head"].json["output"] == [1, 3]
    assert "fc.3" in [layer["name"] for layer in outcomes["new head"].json["layers"]]


def test_inspect_takes_an_input_size(outcomes):
    assert outcomes["input"].json["input"] == [1, 3, 64, 96]


def test_inspect_says_which_layers_exist(outcomes):
    assert outcomes["no layer"].code == 1
    assert "Top-level names are conv1, bn1" in outcomes["no layer"].err


def test_a_large_network_is_changed_without_timm_and_without_its_weights(place):
    code, has_timm, megabytes = json.loads(place.python(MEASURED).splitlines()[-1])
    assert code == 0
    assert not has_timm
    assert megabytes < 900
