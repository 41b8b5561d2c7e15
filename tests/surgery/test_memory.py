"""In-place operations: stored rows, the photo and what is read later stay as they should."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from budwood.errors import CutError
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze

X = torch.randn(3, 4)


class Code(nn.Module):
    """Two layers, and code of one's own between the first and the second."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.between = between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def with_second(between):
    return unfreeze(freeze(Code(between), "*"), "second")


@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True)])
def test_an_in_place_layer_that_comes_first_in_the_graft_leaves_the_rows_alone(law, layer):
    network = nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer, nn.Linear(4, 4)))
    law(unfreeze(freeze(network, "*"), "1"), X)


class InPlaceGraft(nn.Module):
    """Something that trains and overwrites what it is given."""

    def __init__(self, write):
        super().__init__()
        self.write, self.gain = write, nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.write(x) * self.gain


def relu_hidden_in_code(x):
    if x.sum() > 1e9:
        return x
    return functional.relu(x, True)


WRITES = {
    "by keyword": lambda x: functional.relu(x, inplace=True),
    "by position": lambda x: functional.relu(x, True),
    "leaky, by position": lambda x: functional.leaky_relu(x, 0.1, True),
    "method": lambda x: x.clamp_(min=0),
    "method, result unused": lambda x: (x.mul_(2), x)[1],
    "torch function": lambda x: torch.relu_(x),
    "in a view": lambda x: x.view(-1, 2, 2).relu_().flatten(1),
    "in opaque code": relu_hidden_in_code,
}


@pytest.mark.parametrize("write", WRITES)
def test_rows_are_never_written_to(law, write):
    network = nn.Sequential(nn.Linear(4, 4), InPlaceGraft(WRITES[write]))
    law(unfreeze(freeze(network, "*"), "1"), X)


@pytest.mark.parametrize("write", WRITES)
def test_the_photo_is_never_written_to(write):
    network = nn.Sequential(InPlaceGraft(WRITES[write]), nn.Linear(4, 4))
    split = cut(unfreeze(freeze(network, "*"), "1"), X[:1])
    image = X.clone()
    (row,) = split.trunk(image)
    assert torch.equal(image, X)
    assert torch.equal(row, WRITES[write](X.clone()))


def overwritten_and_read_later(x):
    y = x + 1
    y.relu_()
    return y * x + y


def in_place_operator(x):
    y = x + 1
    z = y
    z *= 2
    return y + z


def read_before_and_after(x):
    y = x + 1
    before = y + 1
    after = functional.relu(y, inplace=True)
    return before + after + y


def identity_and_overwritten(x):
    y = functional.dropout(x + 1, 0.5, training=False)
    z = y.view_as(y)
    z.relu_()
    return y + z


@pytest.mark.parametrize(
    "code",
    [
        overwritten_and_read_later,
        in_place_operator,
        read_before_and_after,
        identity_and_overwritten,
    ],
)
@pytest.mark.parametrize("trains", ["first.bias", "second"])
def test_what_is_read_after_an_overwriting_is_the_new_value(law, code, trains):
    torch.manual_seed(0)
    law(unfreeze(freeze(Code(code), "*"), trains), X)


def test_silenced_dropout_does_not_let_an_overwriting_reach_its_input(law):
    def code(x):
        y = functional.dropout(x, 0.5)
        return functional.relu(y, inplace=True) + x

    network = nn.Sequential(Code(code), nn.Linear(4, 2))
    split = cut(unfreeze(freeze(network, "*"), "1").train(), X[:1])
    x = network[0].first(X)
    assert torch.equal(split.trunk(X)[0], network[0].second(x.relu() + x))


def test_a_part_that_is_overwritten_while_the_whole_is_read_later_is_refused():
    def code(x):
        y = x + 1
        y[:, :2].relu_()
        return y

    with pytest.raises(CutError, match=r"overwrites a part of add.*pass a network whose forward"):
        cut(unfreeze(freeze(Code(code), "*"), "first"), X[:1])


def test_in_front_of_its_last_module_such_a_network_can_be_cut(law):
    def code(x):
        y = x + 1
        y[:, :2].relu_()
        return y

    assert law(with_second(code), X).frontier[0].name == "second"


class Counting(nn.Module):
    """Counts its calls, and scales by the count."""

    def __init__(self, only_in_training=False):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.only_in_training = only_in_training

    def forward(self, x):
        if self.training or not self.only_in_training:
            self.calls.add_(1)
        return x * self.calls


def test_code_that_changes_its_own_buffers_is_neither_run_while_cutting_nor_in_the_trunk():
    network = nn.Sequential(nn.Linear(4, 4), Counting(), nn.Linear(4, 4), nn.Linear(4, 2))
    split = cut(unfreeze(freeze(network, "*"), "3"), X[:1])
    assert network[1].calls == 0
    assert split.frontier[0].name == "0"
    rows = split.trunk(X)
    once, twice = split.graft(rows), split.graft(rows)
    assert network[1].calls == 2
    assert not torch.equal(once, twice)
