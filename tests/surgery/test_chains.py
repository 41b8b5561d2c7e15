"""Which grafts are a row of layers that anybody can run."""

import pytest
import torch
from torch import nn

from budwood.surgery.cutting import cut
from budwood.surgery.flow import chain_of


def graft_of(*layers):
    network = nn.Sequential(nn.Linear(6, 6).requires_grad_(False), *layers).eval()
    return cut(network, torch.zeros(1, 6)).graft


class Own(nn.Linear):
    """A linear layer whose code may be another."""


def test_linear_layers_relu_and_dropout_are_a_chain():
    graft = graft_of(nn.Linear(6, 4), nn.ReLU(), nn.Dropout(), nn.Identity(), nn.Linear(4, 2))
    assert chain_of(graft) == (("linear", "1"), ("relu", ""), ("linear", "5"))


@pytest.mark.parametrize("layer", [nn.GELU(), nn.BatchNorm1d(4), nn.Softmax(1), Own(4, 4)])
def test_any_other_layer_breaks_it(layer):
    assert chain_of(graft_of(nn.Linear(6, 4), layer, nn.Linear(4, 2))) is None


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.still = nn.Linear(6, 6).requires_grad_(False)
        self.head = nn.Linear(6, 6)

    def forward(self, x):
        x = self.still(x)
        return self.head(x) + x


def test_a_branch_is_no_chain():
    assert chain_of(cut(Twice().eval(), torch.zeros(1, 6)).graft) is None


def test_a_module_that_was_not_traced_is_no_chain():
    assert chain_of(nn.Linear(6, 2)) is None
