"""Layers by glob: what matches, and what an error says."""

import pytest
from torch import nn
from torchvision import models

from budwood.errors import PatternError
from budwood.surgery.freezing import select, selected_modules, selected_parameters


class Tokens(nn.Module):
    """A parameter that hangs on no layer, and a layer registered under two names."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(nn.Linear(2, 2).weight.detach())
        self.body = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.alias = self.body[0]


def test_a_star_crosses_dots():
    matches = select(models.resnet18(), "layer4*")
    assert matches[0] == "layer4"
    assert "layer4.1.bn2.weight" in matches
    assert all(name.startswith("layer4") for name in matches)


def test_a_question_mark_is_one_character():
    names = select(models.resnet18(), "*.bn?")
    assert "layer1.0.bn2" in names
    assert "bn1" not in names
    assert not any(name.endswith("weight") for name in names)


def test_a_module_stands_for_what_is_inside_it():
    network = models.resnet18()
    inside = selected_parameters(network, "layer4.0")
    assert set(inside) == {n for n, _ in network.named_parameters() if n.startswith("layer4.0.")}
    assert "layer4.0.bn1" in selected_modules(network, "layer4.0")


def test_a_parameter_without_a_layer_is_found_by_its_name():
    assert list(selected_parameters(Tokens(), "cls_token")) == ["cls_token"]
    assert selected_modules(Tokens(), "cls_token") == {}


def test_a_shared_layer_is_found_by_each_of_its_names():
    network = Tokens()
    assert selected_parameters(network, "alias")["alias.weight"] is network.body[0].weight
    assert selected_parameters(network, "body.0")["body.0.weight"] is network.body[0].weight


def test_no_match_names_what_exists_and_the_nearest():
    with pytest.raises(PatternError, match=r"Top-level names are conv1, .*fc\..*mean 'layer4\.\*'"):
        select(models.resnet18(), "layr4.*")


def test_no_match_and_nothing_near_points_to_inspect():
    with pytest.raises(PatternError, match="`budwood inspect` shows every name"):
        select(models.resnet18(), "qqqqqqqqq")


def test_a_network_without_layers_has_none_to_name():
    with pytest.raises(PatternError, match="Top-level names are none"):
        select(nn.ReLU(), "fc")
