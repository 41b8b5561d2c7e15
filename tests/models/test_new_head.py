"""A kind of head that this file adds in one row is asked for, built, trained and replaced."""

import pytest
import torch
from torch import nn

from budwood.head_kinds import HEAD_KINDS, HeadKind, head_pattern
from budwood.models.building import build
from budwood.models.heads import head_names, num_outputs, replace_head
from budwood.settings import Settings


def normalised(nn, layer, widths):
    """Batch normalisation before a linear layer."""
    return [nn.BatchNorm1d(widths[0]), layer(*widths)]


@pytest.fixture(autouse=True)
def row(monkeypatch):
    """The row, as if it had been there when settings were read."""
    monkeypatch.setitem(HEAD_KINDS, "normalised", HeadKind("normalised", False, normalised))
    setting = Settings.__dataclass_fields__["head"].metadata["setting"]
    before = setting.pattern
    object.__setattr__(setting, "pattern", head_pattern())
    yield
    object.__setattr__(setting, "pattern", before)


def test_it_is_built_and_classifies():
    network = build("timm/test_resnet", weights="none", classes=3, head="normalised").train()
    (name,) = head_names(network)
    assert [type(module) for module in network.get_submodule(name)] == [nn.BatchNorm1d, nn.Linear]
    assert num_outputs(network) == 3
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 3)


def test_another_head_takes_its_place():
    network = build("timm/test_resnet", weights="none", classes=3, head="normalised")
    replace_head(network, 5, head="mlp:4")
    assert num_outputs(network) == 5
    replace_head(network, 2)
    assert isinstance(network.get_submodule(head_names(network)[0]), nn.Linear)
