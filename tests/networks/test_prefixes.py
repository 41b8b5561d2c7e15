"""Wrappers around networks, or around parts of them, are found by names and shapes."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from budwood.networks.prefixes import Prefixes, best_prefixes, with_prefixes

NETWORK = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8))
)
STATE = NETWORK.state_dict()
SHAPES = {name: tuple(tensor.shape) for name, tensor in STATE.items()}

words = st.lists(st.sampled_from(["backbone", "encoder", "body", "model"]), max_size=3)


def under(words, state):
    return {".".join([*words, name]): tensor for name, tensor in state.items()}


@given(words, words)
def test_any_two_wrappers_are_seen_through(around_file, around_network):
    own = under(around_network, SHAPES)
    state = under(around_file, STATE) | {"queue": torch.ones(2, 2)}
    best = best_prefixes(own, state)
    moved = with_prefixes(own, state, best[0])
    assert len(moved) == len(state)
    assert own.keys() <= moved.keys()
    assert all(moved[".".join([*around_network, name])] is STATE[name] for name in STATE)


def test_two_networks_in_one_file_tie_in_its_order():
    state = {f"{who}.{name}": STATE[name] for who in ("student", "teacher") for name in STATE}
    assert best_prefixes(SHAPES, state) == [Prefixes("student.", ""), Prefixes("teacher.", "")]


def test_nothing_in_common_has_no_prefixes():
    assert best_prefixes(SHAPES, {"queue": torch.ones(2, 2)}) == []
    assert best_prefixes(SHAPES, {}) == []


def test_what_has_its_counterpart_stays_where_it_is():
    own = {"model.conv.weight": (2, 3), "fc.weight": (5, 2)}
    state = {"conv.weight": torch.ones(2, 3), "fc.weight": torch.ones(5, 2)}
    moved = with_prefixes(own, state, Prefixes("", "model."))
    assert moved.keys() == own.keys()


def test_two_tensors_never_get_one_name():
    own = {"conv.weight": (2, 3), "fc.weight": (5, 2)}
    state = {
        "backbone.conv.weight": torch.ones(2, 3),
        "backbone.fc.weight": torch.ones(1000, 2),
        "fc.weight": torch.ones(5, 2),
    }
    moved = with_prefixes(own, state, Prefixes("backbone.", ""))
    assert {name: len(tensor) for name, tensor in moved.items()} == {
        "fc.weight": 5,
        "conv.weight": 2,
        "backbone.fc.weight": 1000,
    }
