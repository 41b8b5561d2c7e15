"""What tells the file of another network from one of this network that lacks a little."""

import pytest

from budwood.networks.building import structure
from budwood.networks.catalog import find
from budwood.networks.kinship import are_strangers, namesakes, other_layers


def state(name, classes=None, aux_heads=False):
    network = structure(find(name), classes=classes, aux_heads=aux_heads, device="meta")
    return network.state_dict()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet34", {}),
        ("resnet34", {"classes": 7}),
        ("vgg16", {"classes": 2}),
        ("googlenet", {"classes": 5, "aux_heads": True}),
        ("timm/vit_tiny_patch16_224", {}),
    ],
)
def test_the_number_of_parameters_tells_the_architecture(name, options):
    assert find(name).name in namesakes(state(name, **options))


def test_a_number_that_no_architecture_has_tells_none():
    tensors = state("resnet18")
    del tensors["layer1.0.conv1.weight"]
    assert namesakes(tensors) == ()


def test_layers_of_a_kind_that_one_side_lacks_are_others():
    taken = {"layer1.0.conv.weight", "fc1.bias"}
    lacking = ["layer3.11.conv.weight", "neck.conv.weight", "fc2.bias"]
    assert other_layers(taken, ["stem.weight"], lacking) == (
        "stem.weight",
        "layer3.11.conv.weight",
        "fc2.bias",
    )


@pytest.mark.parametrize(
    ("taken", "others", "strangers"),
    [(626, 306, True), (25, 19, True), (300, 60, False), (3, 7, False), (0, 8, True)],
)
def test_few_other_layers_are_no_other_network(taken, others, strangers):
    assert are_strangers(taken, others) is strangers
