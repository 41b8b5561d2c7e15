"""Where a network looked: right by hand, on frozen, grafted and auxiliary-headed networks."""

import pytest
import torch
from torch import nn

import budwood
from budwood.errors import ConfigError
from budwood.evaluation.attribution import (
    feature_maps,
    first_filters,
    where_it_looked,
)


class Spots(nn.Module):
    """Class 0 is red, class 1 is green: the mean of a colour is its logit."""

    def __init__(self):
        super().__init__()
        self.colours = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.colours.weight.copy_(torch.eye(2, 3).view(2, 3, 1, 1))

    def forward(self, x):
        return self.relu(self.colours(x)).mean((2, 3))


def spotted():
    """A red spot at the upper left, a larger green one at the lower right."""
    image = torch.zeros(1, 3, 16, 16)
    image[0, 0, 2:5, 2:5] = 1
    image[0, 1, 9:15, 9:15] = 1
    return image


def test_the_map_is_where_the_class_is():
    maps = where_it_looked(Spots(), spotted().repeat(2, 1, 1, 1), "colours", [0, 1])
    torch.testing.assert_close(maps[0], spotted()[0, 0])
    torch.testing.assert_close(maps[1], spotted()[0, 1])


def test_without_a_class_it_is_that_of_the_prediction():
    torch.testing.assert_close(where_it_looked(Spots(), spotted())[0], spotted()[0, 1])


def test_freezing_makes_no_difference():
    open_, frozen = Spots(), Spots()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        expected = where_it_looked(open_, spotted(), classes=[0])
    torch.testing.assert_close(where_it_looked(frozen, spotted(), classes=[0]), expected)
    assert all(p.grad is None for p in open_.parameters())


def test_where_nothing_speaks_for_a_class_the_map_is_empty():
    assert where_it_looked(Spots(), torch.zeros(1, 3, 8, 8), "colours", [0]).sum() == 0


@pytest.mark.parametrize("name", ["googlenet", "resnet18", "vgg16", "efficientnet_lite0"])
def test_it_works_on_every_kind_of_network(name):
    network = budwood.build(name, weights="none", classes=3)
    budwood.freeze(network, "*")
    images = torch.randn(2, 3, 64, 64) if name != "vgg16" else torch.randn(2, 3, 224, 224)
    before = [p.clone() for p in network.parameters()]
    maps = where_it_looked(network, images, classes=[0, 2])
    assert maps.shape == (2, *images.shape[-2:])
    assert maps.min() >= 0
    assert maps.max() <= 1 + 1e-6
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_feature_maps_and_filters_are_stretched():
    network = budwood.build("resnet18", weights="none", classes=3)
    maps = feature_maps(network, torch.randn(1, 3, 64, 64), "layer1")
    assert maps.shape == (64, 16, 16)
    assert (maps.min(), maps.max()) == (0, 1)
    filters = first_filters(network)
    assert filters.shape == (64, 3, 7, 7)
    assert filters.flatten(1).amax(1).min() == 1


def test_layers_that_cannot_be_shown_are_told():
    network = Spots()
    with pytest.raises(ConfigError, match=r"no layer 'colour'.*Did you mean 'colours'.*inspect"):
        where_it_looked(network, spotted(), "colour")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    mixed = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(1024, 2))
    with pytest.raises(ConfigError, match="such as 0"):
        where_it_looked(mixed, spotted(), "2")
    with pytest.raises(ConfigError, match="No convolution"):
        first_filters(flat)
