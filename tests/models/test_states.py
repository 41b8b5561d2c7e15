"""States are compared with a network, and loaded whole or not at all."""

import collections

import pytest
import torch
from torch import nn

from budwood.errors import WeightsError
from budwood.models.states import compare_state, load_state, with_counters

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.num_batches_tracked": torch.tensor(3)}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_state_is_loaded_bit_for_bit():
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    load_state(network, other.state_dict())
    assert same(network.state_dict(), other.state_dict())


def test_loading_keeps_parameters_trainable_and_in_place():
    network = nn.Linear(3, 2)
    weight = network.weight
    load_state(network, nn.Linear(3, 2).state_dict())
    assert network.weight is weight
    assert weight.requires_grad


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"weight": torch.ones(2, 4)},
            r"1 of another shape; first 'weight': \[2, 4\] in the file, \[2, 3\]",
        ),
        ({"more": torch.ones(1)}, "1 unexpected, 0 of another shape; first 'more' is unexpected"),
        ({"bias": None}, "1 missing, 0 unexpected, 0 of another shape; first 'bias' is missing"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, said):
    network = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    given = {**nn.Linear(3, 2).state_dict(), **change}
    state = {name: tensor for name, tensor in given.items() if tensor is not None}
    with pytest.raises(WeightsError, match=f"do not fit Linear: .*{said}.*of this architecture"):
        load_state(network, state)
    assert same(network.state_dict(), before)


def test_an_error_of_loading_names_the_file(tmp_path):
    with pytest.raises(WeightsError, match=r"net.pth does not fit Linear"):
        load_state(nn.Linear(3, 2), {}, file=tmp_path / "net.pth")


def test_states_that_fit_have_no_difference():
    network = nn.BatchNorm2d(3)
    assert str(compare_state(network, network.state_dict())) == "no difference"


def test_counters_that_old_files_lack_are_added():
    network = nn.Sequential(nn.BatchNorm2d(3))
    old = {name: tensor for name, tensor in network.state_dict().items() if "num" not in name}
    load_state(network, with_counters(network, old))


def test_counters_that_are_there_are_kept():
    network = nn.Sequential(collections.OrderedDict(bn=nn.BatchNorm2d(3)))
    assert with_counters(network, STATE) is STATE
