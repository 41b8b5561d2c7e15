"""Flattening without a layer for it has a row, and nothing else has."""

import pytest
import torch
from torch import nn

from budwood.inspection.summarizing import summarize


class Net(nn.Module):
    """Maps, something in the code, and a linear layer."""

    def __init__(self, between, features=18):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.fc = nn.Linear(features, 4)
        self.between = [between]  # in a list, so that it is code and no layer

    def forward(self, x):
        return self.fc(self.between[0](self.conv(x)))


def names(network):
    return [row.name for row in summarize(network, (3, 5, 5)).rows]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: torch.flatten(x, 1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.reshape(-1, 18),
        lambda x: torch.flatten(torch.relu(x), 1),
        lambda x: x.permute(0, 2, 3, 1).flatten(1),
    ],
)
def test_code_that_flattens_has_a_row(flatten):
    summary = summarize(nn.Sequential(Net(flatten)), (3, 5, 5))
    assert [row.name for row in summary.rows] == ["0", "0.conv", "0.(flatten)", "0.fc"]
    row = summary.rows[2]
    assert row.operation == "flatten"
    assert row.size_formula.endswith(" = 18")
    assert (row.output, row.depth, row.parameters, row.state) == ((1, 18), 2, 0, "-")


def test_the_row_says_what_was_flattened():
    row = summarize(Net(lambda x: torch.flatten(x, 1)), (3, 5, 5), batch=2).rows[1]
    assert (row.input, row.output) == ((2, 2, 3, 3), (2, 18))
    assert row.size_formula == "3×3×2 = 18"


def test_a_mean_is_no_flattening():
    assert names(Net(lambda x: x.mean((2, 3)), features=2)) == ["conv", "fc"]


def test_a_flatten_layer_is_its_own_row():
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Dropout(), nn.Linear(18, 4))
    assert names(net) == ["0", "1", "2", "3"]


def test_the_row_comes_before_the_block_that_takes_the_values():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Sequential(nn.Dropout(), nn.Linear(75, 4))

        def forward(self, x):
            return self.head(torch.flatten(x, 1))

    assert names(Outer()) == ["(flatten)", "head", "head.0", "head.1"]


def test_what_a_block_flattens_at_its_end_shows_in_its_own_shapes():
    class Trunk(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(2)

        def forward(self, x):
            return torch.flatten(self.pool(x), 1)

    summary = summarize(nn.Sequential(Trunk(), nn.Linear(12, 4)), (3, 5, 5))
    assert [row.name for row in summary.rows] == ["0", "0.pool", "1"]
    assert (summary.rows[0].input, summary.rows[0].output) == ((1, 3, 5, 5), (1, 12))
