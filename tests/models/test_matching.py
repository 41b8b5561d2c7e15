"""A file is held against a network without a change to it; only then is anything copied."""

from pathlib import Path

import pytest
import torch
from torch import nn

from budwood.models.building import structure
from budwood.models.catalog import find
from budwood.models.checkpoints import Checkpoint
from budwood.models.key_layouts import Layout
from budwood.models.matching import are_strangers, heads_of, match, namesakes, other_layers

FILE = Path("net.pth")


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def matched(network, state, layout=None):
    return match(network, Checkpoint(FILE, state), Layout(layout or state), heads_of(network))


def statuses(matching):
    return {line.name: line.status for line in matching.receipt.lines}


def test_nothing_changes_before_it_is_copied(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = {name: tensor + 1 for name, tensor in before.items()}
    matching = matched(network, state)
    assert matching.receipt.is_full
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    matching.copy()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_what_a_converter_left_out_is_unexpected(network):
    state = network.state_dict() | {"mask": torch.ones(2)}
    layout = {name: tensor for name, tensor in state.items() if name != "mask"}
    assert statuses(matched(network, state, layout))["mask"] == "unexpected"


def test_what_a_converter_computed_is_said(network):
    weight = torch.ones(4, 3)
    state = network.state_dict() | {"0.weight": weight}
    matching = matched(network, state, state | {"0.weight": weight[:, :, None, None]})
    assert str(matching.receipt.lines[0]) == "0.weight converted"
    assert matching.receipt.is_full


def test_renamed_tensors_tell_their_names_in_the_file(network):
    state = {f"net.{name}": tensor for name, tensor in network.state_dict().items()}
    matching = matched(network, state, {name[4:]: tensor for name, tensor in state.items()})
    assert {line.source for line in matching.receipt.lines} == set(state)


def test_tensors_of_heads_never_tell_of_other_layers(network):
    state = network.state_dict() | {
        "3.weight": torch.ones(9, 4),
        "3.0.weight": torch.ones(9, 4),
        "1.weight": torch.ones(5),
        "7.weight": torch.ones(5),
    }
    matching = matched(network, state)
    assert (matching.others, matching.surplus) == (("1.weight",), ("7.weight",))


def test_parameters_are_what_the_share_is_of(network):
    state = network.state_dict()
    del state["3.weight"], state["1.running_mean"]
    matching = matched(network, state)
    assert matching.receipt.share == (12 + 4 + 4 + 4 + 2) / (12 + 4 + 4 + 4 + 8 + 2)


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
