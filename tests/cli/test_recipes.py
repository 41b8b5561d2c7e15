"""`budwood recipe`, `budwood graft` and `budwood train --recipe`."""

import pytest

GRAFT = """
[graft]
adapt = {adapt}
layers = [
  "resnet18.conv1..layer2",
  "googlenet.inception4a..inception5b",
  {{ new = "AdaptiveAvgPool2d", output_size = 1 }},
  {{ new = "Flatten" }},
  {{ new = "Linear", out_features = {classes} }},
]
classes = 3
"""

WRONG = {
    "misspelt": ('modle = "resnet18"', "has no key 'modle'. Did you mean 'model'?"),
    "unknown": ('[graft]\nlayers = ["resnet18.layr2"]', "Did you mean 'layer"),
    "backwards": ('[graft]\nlayers = ["resnet18.layer2..layer1"]', "Write layer1..layer2."),
}


@pytest.fixture(scope="module")
def outcomes(place):
    """What each of these commands says, by a name."""
    files = {name: text for name, (text, _) in WRONG.items()}
    files["two"] = GRAFT.format(adapt="true", classes='"classes"')
    files["misfit"] = GRAFT.format(adapt="false", classes='"classes"')
    files["ten"] = GRAFT.format(adapt="true", classes=10)
    for name, text in files.items():
        (place.folder / f"{name}.toml").write_text(text)
    lite = ["--data", "photos", "--json"]
    quick = ["--weights", "none", "--epochs", "1", "--size", "96"]
    commands = {
        "list": ["recipe", "list"],
        "list json": ["recipe", "list", "--json"],
        "show": ["recipe", "show", "resnet50-flowers"],
        "show json": ["recipe", "show", "vgg16-graft", "--json"],
        "show nothing": ["recipe", "show", "vgg16-cat"],
        "graft": ["graft", "two.toml"],
        "graft json": ["graft", "vgg16-graft", "--json"],
        "graft misfit": ["graft", "misfit.toml"],
        "graft adapted": ["graft", "misfit.toml", "--adapt", "--json"],
        "graft of a model": ["graft", "resnet50-flowers"],
        "inspect": ["inspect", "vgg16-graft", "--json"],
        "inspect file": ["inspect", "two.toml", "--depth", "1"],
        **{f"graft {name}": ["graft", f"{name}.toml"] for name in ("unknown", "backwards")},
        "train misspelt": ["train", "photos", "--recipe", "misspelt.toml"],
        "train ten": ["train", "photos", "--recipe", "ten.toml", "--weights", "none"],
        "train model": ["train", "photos", "--recipe", "vgg16-graft", "--model", "resnet18"],
        "train too small": ["train", "photos", "--model", "vgg16", *quick[:2], "--size", "16"],
        "train fixed": ["train", "photos", "--model", "alexnet_course", *quick[:2], "--size", "99"],
        "run": ["recipe", "run", "lite0-flowers", *lite],
        "train": ["train", "photos", "--recipe", "lite0-flowers", "--json"],
        "run googlenet": ["recipe", "run", "googlenet-flowers", "--data", "photos", *quick],
        "run graft": ["recipe", "run", "vgg16-graft", "--data", "photos", *quick, "--json"],
        "run two": ["train", "photos", "--recipe", "two.toml", *quick, "--out", "two", "--json"],
        "verify two": ["verify", "two"],
        "inspect two": ["inspect", "two", "--json"],
    }
    answers = place.run_several(list(commands.values()))
    return dict(zip(commands, answers, strict=True))


def test_the_list(outcomes):
    lines = outcomes["list"].out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [
        ["vgg16-catdog", "5.1"],
        ["vgg16-graft", "5.2"],
    ]
    assert [each["name"] for each in outcomes["list json"].json["recipes"]][-1] == "lite0-flowers"


def test_a_recipe_as_it_is_written(outcomes):
    assert outcomes["show"].out.startswith('title = "ResNet50 on flowers')
    shown = outcomes["show json"].json
    assert shown["graft"]["layers"][3] == {
        "from": "vgg16.features.0",
        "weights": "imagenet",
        "frozen": True,
    }
    assert "Did you mean 'vgg16-catdog'?" in outcomes["show nothing"].err


def test_a_graft_is_shown(outcomes):
    assert outcomes["graft"].code == 0
    assert "googlenet.inception4a" in outcomes["graft"].out
    assert "adapter1 is a 1x1 convolution from 128 to 480 channels" in outcomes["graft"].err
    assert outcomes["graft adapted"].json["notes"]
    total = outcomes["graft json"].json["parameters"]
    assert (total["total"], total["trainable"]) == (42_544_992, 40_146_464)


def test_the_chapters_graft_is_inspected(outcomes):
    found = outcomes["inspect"].json
    assert found["parameters"] == {
        "total": 42_544_992,
        "trainable": 40_146_464,
        "trainable_percent": 94.36,
    }
    assert (found["input"], found["output"]) == ([16, 1, 224, 224], [16, 2])
    assert "adapter1" in outcomes["inspect file"].out


def test_a_misfit_names_both_layers_and_shapes(outcomes):
    error = outcomes["graft misfit"].err
    for word in ("layer2", "inception4a", "128", "480", "adapt = true"):
        assert word in error
    assert outcomes["graft misfit"].code == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train misspelt", WRONG["misspelt"][1]),
        ("graft unknown", WRONG["unknown"][1]),
        ("graft backwards", WRONG["backwards"][1]),
        ("graft of a model", "has no [graft]: it trains resnet50"),
        ("train ten", "ends in linear1, which gives 10 numbers a photo, and there are 3 classes"),
        (
            "train too small",
            "photos of 16 x 16. The network cannot run on an input of 3x16x16: Given input size",
        ),
        ("train fixed", "It was made for 227 x 227. Leave --size out"),
        ("train model", "vgg16-graft is a graft; it has no other model"),
    ],
)
def test_bad_input(outcomes, name, message):
    assert outcomes[name].code == 1
    assert message in outcomes[name].err


def test_recipe_run_is_train_with_a_recipe(outcomes):
    one, other = outcomes["run"].json, outcomes["train"].json
    assert one.keys() == other.keys()
    assert one["test"] == other["test"]
    assert one["recipe"]["name"] == "lite0-flowers"
    assert one["model"] == "efficientnet_lite0"
    assert other["store"]["misses"] == 0


def test_a_run_stands_beside_the_chapters(outcomes):
    text = outcomes["run googlenet"].out
    assert "Recipe googlenet-flowers, example 5.3" in text
    assert "0.8747" in text
    assert "split: 21 photos to train and 9 to test here, 2569 and 1101 in the chapter" in text
    assert "epochs: 1 here, 10 in the recipe" in text
    assert "flatten 2048, flatten_1 2048, flatten_2 1024" in outcomes["run googlenet"].err


def test_a_graft_is_trained_and_proves_itself(outcomes):
    for name in ("run graft", "run two"):
        assert outcomes[name].json["frozen_unchanged"] is True
        assert outcomes[name].json["recipe"]["name"] == name.replace("run ", "").replace(
            "graft", "vgg16-graft"
        )
    assert outcomes["verify two"].code == 0
    assert "same answers with torch fp32" in outcomes["verify two"].out
    assert outcomes["inspect two"].json["parameters"]["trainable"] == 61_920 + 3_075
