"""Graft recipes as plain values: read, written, and refused with the nearest guess."""

import json

import pytest

from budwood.errors import BudwoodError, ConfigError, UnknownName
from budwood.grafting.graft_recipes import DonorLayers, GraftRecipe
from budwood.grafting.new_layers import NewLayer


@pytest.mark.parametrize(
    ("text", "network", "first", "last"),
    [
        ("vgg16.features.0", "vgg16", "features.0", "features.0"),
        ("resnet18.conv1..layer2", "resnet18", "conv1", "layer2"),
        ("resnet18.layer2..", "resnet18", "layer2", ""),
        ("resnet18...layer2", "resnet18", "", "layer2"),
        ("timm/resnet50.layer1", "timm/resnet50", "layer1", "layer1"),
        ("resnet18", "resnet18", "", ""),
    ],
)
def test_layers_of_a_donor_by_name(text, network, first, last):
    donor = DonorLayers.named(text)
    assert (donor.network, donor.first, donor.last) == (network, first, last)
    assert DonorLayers.named(str(donor)) == donor


def test_a_recipe_is_what_its_json_says():
    table = {
        "input": [1, 32, 32],
        "adapt": True,
        "classes": 2,
        "layers": [
            {"new": "Conv2d", "name": "first", "out_channels": 3, "kernel_size": 3},
            {"from": "vgg16.features.0", "frozen": False},
            "resnet18.layer1",
        ],
    }
    recipe = GraftRecipe.from_json(table)
    assert recipe.layers[0] == NewLayer(
        type="Conv2d", name="first", options={"out_channels": 3, "kernel_size": 3}
    )
    assert not recipe.layers[1].frozen
    assert recipe.layers[2].frozen
    assert GraftRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"layer": []}, ConfigError, "graft has no key 'layer'. Did you mean 'layers'"),
        ({"layers": []}, ConfigError, "A graft needs `layers`"),
        ({"layers": [3]}, ConfigError, r"layers\[1\]: 3 is no layer of a graft. It must be { from"),
        ({"layers": [{"from": "resnet18", "new": "ReLU"}]}, ConfigError, "is no layer of a graft"),
        ({"layers": ["resnet81.conv1"]}, UnknownName, r"layers\[1\]: No architecture is called"),
        (
            {"layers": ["resnet18", {"from": "vgg16", "frozn": True}]},
            ConfigError,
            r"layers\[2\]: A layer of a donor has no key 'frozn'. Did you mean 'frozen'",
        ),
        ({"layers": [{"new": "Relu"}]}, ConfigError, "No new layer is of type 'Relu'. Did you mea"),
        (
            {"layers": ["resnet18"], "input": [3, 0, 3]},
            ConfigError,
            r"input is \[3, 0, 3\]. It mus",
        ),
        ({"layers": ["resnet18"], "adapt": 1}, ConfigError, "adapt is 1. It must be true or false"),
        ({"layers": ["resnet18"], "classes": 0}, ConfigError, "classes is 0. It must be a number"),
    ],
)
def test_a_wrong_recipe_is_told(table, error, message):
    with pytest.raises(error, match=message):
        GraftRecipe.from_json(table)
    with pytest.raises(BudwoodError):
        GraftRecipe.from_json(table)
