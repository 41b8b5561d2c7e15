"""What a network carries stays with it: in copies, in pickles, through a graph of torch.fx."""

import copy
import io
import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx, nn

import budwood as bw
from budwood.errors import ConfigError
from budwood.models.info import ModelInfo, Origin, info, input_shape, set_info

GREY = bw.Preprocessing(size=(8, 6), resize=8, mean=(0.5,), std=(0.5,))
ORIGIN = Origin(architecture="torchvision/resnet18", weights="none", num_classes=2)


def in_file(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("kind", ["module", "graph"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), in_file]
)
def test_copies_carry_it(kind, copied):
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    network = fx.symbolic_trace(network) if kind == "graph" else network
    set_info(network, origin=ORIGIN, preprocessing=GREY)
    set_info(network, notes=("A note.",))
    again = copied(network)
    assert input_shape(again) == (1, 8, 6)
    assert info(again) == ModelInfo(origin=ORIGIN, preprocessing=GREY, notes=("A note.",))
    assert not [key for key in again.state_dict() if "info" in key]


def test_one_that_was_made_elsewhere_carries_nothing():
    assert info(nn.Linear(1, 1)) == ModelInfo()
    assert input_shape(nn.Linear(1, 1)) == (3, 224, 224)


def test_only_what_there_is_can_be_set():
    with pytest.raises(TypeError):
        set_info(nn.Linear(1, 1), colour="red")


origins = st.builds(
    Origin,
    architecture=st.text(),
    weights=st.text(),
    num_classes=st.integers(0),
    classes=st.none() | st.lists(st.text()).map(tuple),
    head=st.none() | st.text(),
    aux_heads=st.booleans(),
)


@given(origins)
def test_an_origin_survives_json(origin):
    assert Origin.from_json(json.loads(json.dumps(origin.to_json()))) == origin


@pytest.mark.parametrize(
    "fields", [{}, {"architecture": "a", "weights": "b", "num_classes": 1, "x": 2}]
)
def test_other_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="The fields are architecture, weights, num_classes"):
        Origin.from_json(fields)
