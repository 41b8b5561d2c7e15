"""`budwood compare`, the real command: a table, one JSON object, and what cannot be compared."""

import inspect

import pytest

from budwood.cli.dataset import compare as command
from budwood.tasks.compare import compare
from budwood.text import width_of

SMALL = "lenet5=none,resnet20_cifar=none"


@pytest.fixture(scope="module")
def outcomes(place):
    """Several comparisons in one process; the first has an empty store."""
    commands = {
        "json": ["compare", "photos", "--models", SMALL, "--json"],
        "text": ["compare", "photos", "--models", "lenet5=none", "--models", "resnet20_c*=none"],
        "margin": ["compare", "photos", "--models", "lenet5=none", "--margin", "0.9", "--json"],
        "default": ["compare", "photos", "--json"],
        "offline": ["compare", "photos", "--models", "lenet5=none,squeezenet1_1", "--json"],
        "only offline": ["compare", "photos", "--models", "squeezenet1_1"],
        "no match": ["compare", "photos", "--models", "resnot*"],
        "unknown": ["compare", "photos", "--models", "resnet81", "--json"],
        "two photos": ["compare", "one-each", "--models", SMALL],
    }
    for name in ("red", "blue"):
        folder = place.folder / "one-each" / name
        folder.mkdir(parents=True)
        image = place.folder / "photos" / name / f"{name}-00.png"
        (folder / "only.png").write_bytes(image.read_bytes())
    home = {"BUDWOOD_HOME": str(place.folder / "home-of-compare")}
    return dict(zip(commands, place.run_several(list(commands.values()), **home), strict=True))


def test_json_is_one_object_with_every_stage(outcomes):
    found = outcomes["json"].json
    assert outcomes["json"].code == 0
    assert [network["model"] for network in found["models"]] == ["lenet5", "resnet20_cifar"]
    assert [network["store"]["hits"] for network in found["models"]] == [0, 0]
    assert len(found["models"][0]["stages"]) == 4
    assert found["best"]["weights"] == "none"
    assert found["recommendation"]


def test_the_margin_decides_what_is_non_inferior(outcomes):
    strict, generous = outcomes["json"].json, outcomes["margin"].json
    assert (strict["margin"], generous["margin"]) == (0.01, 0.9)
    assert all(stage["non_inferior"] for stage in generous["models"][0]["stages"])
    assert strict["optimism"] >= 0


def test_the_default_margin_is_that_of_the_library():
    default = next(option.default for option in command.params if option.name == "margin")
    assert default == inspect.signature(compare).parameters["margin"].default


def test_progress_and_notes_go_to_stderr(outcomes):
    said = outcomes["json"].err
    assert "lenet5=none (1 of 2)" in said
    assert "extracting 24 of 24 photos" in said
    assert "  s2: top-1 0." in said


def test_the_text_is_a_table_and_a_sentence_and_everything_is_stored(outcomes):
    text = outcomes["text"].out
    assert outcomes["text"].code == 0
    assert "lenet5 (random)" in text
    assert "resnet20_cifar (random)" in text
    assert "Recommended: " in text
    assert width_of(text.partition("95 %: ")[0]) <= 100
    assert "extracting" not in outcomes["text"].err


def test_by_default_the_networks_at_hand_are_compared(outcomes):
    found = outcomes["default"].json
    assert "efficientnet_lite0" in {network["model"] for network in found["models"]}
    assert all(network["weights"] == "packaged" for network in found["models"])
    assert all(network["download_bytes"] > 10**7 for network in found["models"])


def test_what_cannot_be_downloaded_is_left_out_with_the_reason(outcomes):
    (skipped,) = outcomes["offline"].json["skipped"]
    assert skipped["model"] == "squeezenet1_1"
    assert "cannot be downloaded" in skipped["reason"]
    assert [network["model"] for network in outcomes["offline"].json["models"]] == ["lenet5"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("only offline", "cannot be downloaded"),
        ("no match", "No network matches 'resnot*'. `budwood models` lists all"),
        ("two photos", "2 photos of 2 classes cannot be held out in turn"),
    ],
)
def test_what_cannot_be_compared_is_one_line(outcomes, name, text):
    assert outcomes[name].code == 1
    assert text in outcomes[name].err
    assert outcomes[name].err.count("budwood: ") == 1
    assert not outcomes[name].out


def test_an_unknown_network_is_an_error_with_the_nearest(outcomes):
    assert outcomes["unknown"].code == 1
    assert "resnet81" in outcomes["unknown"].json["error"]


def test_help_has_an_example(place):
    assert "budwood compare photos/" in place.run("compare", "--help").out
