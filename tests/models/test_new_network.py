"""A network that this file adds in one row is found, built, trained, saved and loaded."""

import pytest
import torch
from torch import nn

import budwood as bw
from budwood.images.preprocessing import Preprocessing
from budwood.models import catalog
from budwood.models.catalog import Architecture
from budwood.models.classics_source import CLASSICS, Classic


def toynet(classes):
    """A convolution and a head."""
    features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(features, nn.Linear(4, classes))


SIZE = Preprocessing(size=(16, 16), resize=16, mean=(0.5,) * 3, std=(0.5,) * 3)


@pytest.fixture(autouse=True)
def row(monkeypatch):
    """The row of `CLASSICS`, and the one that `make catalog` writes from it."""
    monkeypatch.setitem(CLASSICS, "toynet", Classic(toynet, 10, SIZE))
    written = Architecture("toynet", "budwood", 162, (3, 16, 16))
    table = (*catalog._table(), written)
    monkeypatch.setattr(catalog, "_table", lambda: table)
    catalog._by_name.cache_clear()
    yield
    catalog._by_name.cache_clear()


def test_it_is_in_the_catalogue():
    assert [found.name for found in bw.list_models("toy*")] == ["toynet"]


def test_it_is_built_as_in_its_paper_and_for_other_classes():
    assert bw.build("toynet", weights="none")(torch.rand(1, 3, 16, 16)).shape == (1, 10)
    network = bw.build("toynet", weights="none", classes=["a", "b"])
    assert network(torch.rand(1, 3, 16, 16)).shape == (1, 2)
    assert bw.info(network).preprocessing == SIZE


def test_it_can_be_cut():
    network = bw.build("toynet", weights="none", classes=2)
    cut = bw.cut(bw.unfreeze(bw.freeze(network, "*"), "1"))
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(cut.graft(cut.trunk(images)), network(images))
