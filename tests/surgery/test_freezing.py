"""Frozen means frozen: no gradient, still statistics, and none of it lost on the way."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from budwood.errors import PatternError
from budwood.surgery.freezing import freeze, keeps_statistics, trainable_parameters, unfreeze


def small():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Dropout()),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    )


NAMES = sorted(
    {n for n, _ in small().named_modules() if n} | {n for n, _ in small().named_parameters()}
)


def state(network):
    return (
        [p.requires_grad for p in network.parameters()],
        [m.training for m in network.modules()],
        [keeps_statistics(m) for m in network.modules()],
    )


def test_a_frozen_parameter_gets_no_gradient():
    network = freeze(small(), "0")
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    assert network[0].weight.grad is None
    assert network[2][0].weight.grad is not None


def test_frozen_statistics_stay_still_in_train_mode():
    network = freeze(small(), "*").train()
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network(torch.randn(4, 3, 8, 8))
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())


@pytest.mark.parametrize("mode", [True, False])
def test_a_frozen_normalisation_survives_train(mode):
    network = freeze(small().train(), "1").eval().train(mode)
    assert not network[1].training
    assert network[2][1].training is mode


def test_dropout_is_not_marked():
    assert freeze(small(), "*").train()[2][2].training


def test_a_deep_copy_is_frozen_and_of_its_own():
    network = freeze(small(), "*")
    twin = copy.deepcopy(network).train()
    assert not twin[1].training
    unfreeze(network, "*").train()
    assert network[1].training
    assert not twin.train()[1].training


def test_saving_keeps_what_is_frozen(tmp_path):
    torch.save(freeze(small(), "*"), tmp_path / "network.pt")
    loaded = torch.load(tmp_path / "network.pt", weights_only=False).train()
    assert not loaded[1].training
    assert trainable_parameters(loaded) == []


def test_later_patterns_win():
    network = unfreeze(freeze(small(), "*"), "2.0")
    assert [n for n, p in network.named_parameters() if p.requires_grad] == [
        "2.0.weight",
        "2.0.bias",
    ]


@pytest.mark.parametrize("change", [freeze, unfreeze])
def test_an_error_leaves_the_network_as_it_was(change):
    network = freeze(small(), "1")
    before = state(network)
    with pytest.raises(PatternError, match="Top-level names are 0, 1, 2, 3"):
        change(network, "0", "nothing.like.this")
    assert state(network) == before


def test_any_trainable_parameter_lets_a_normalisation_train():
    network = unfreeze(freeze(small(), "*"), "1.bias").train()
    assert network[1].training
    assert not freeze(network, "1.bias").train()[1].training


def test_a_normalisation_without_parameters_follows_the_last_pattern():
    network = freeze(small(), "*").train()
    assert not network[2][1].training
    assert unfreeze(network, "2").train()[2][1].training


def test_a_normalisation_put_in_eval_by_hand_is_left_alone():
    network = small().train()
    network[1].eval()
    freeze(network, "0")
    assert not network[1].training
    assert not keeps_statistics(network[1])


def test_unfreezing_gives_a_normalisation_its_networks_mode():
    assert not unfreeze(freeze(small().eval(), "*"), "*")[1].training
    assert unfreeze(freeze(small().train(), "*"), "*")[1].training


def test_a_layer_under_two_names_is_frozen_by_either():
    network = small()
    network.add_module("alias", network[1])
    freeze(network, "alias").train()
    assert not network[1].weight.requires_grad
    assert not network[1].training


def test_integer_parameters_are_left_alone():
    network = small()
    network.register_parameter("steps", nn.Parameter(torch.tensor([1]), requires_grad=False))
    assert not unfreeze(network, "*").steps.requires_grad


@settings(deadline=None, derandomize=True, max_examples=60)
@given(patterns=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
def test_unfreeze_undoes_freeze(patterns):
    network = small().train()
    before = state(network)
    assert state(unfreeze(freeze(network, *patterns), *patterns)) == before


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    patterns=st.lists(st.sampled_from(NAMES), max_size=4), undone=st.lists(st.sampled_from(NAMES))
)
def test_a_normalisation_with_parameters_is_held_exactly_if_all_of_them_are_frozen(
    patterns, undone
):
    network = unfreeze(freeze(small(), *patterns), *undone).train()
    for norm in (network[1], network[3]):
        assert norm.training is any(p.requires_grad for p in norm.parameters())
