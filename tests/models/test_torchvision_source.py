"""torchvision's weights: their preprocessing, files and older layouts."""

import pytest
import torch
from torchvision.models import get_model, get_model_weights

from budwood.models.building import build
from budwood.models.catalog import list_models
from budwood.models.sources import source as named

source = named("torchvision")

ALL = [
    (each.bare, weights)
    for each in list_models("torchvision/*")
    for weights in get_model_weights(each.bare)
]


@pytest.mark.parametrize(("name", "weights"), ALL, ids=str)
def test_the_preprocessing_is_that_of_the_weights(name, weights):
    transforms, ours = weights.transforms(), source.preprocessing(name, weights.name)
    assert list(ours.size) == transforms.crop_size * 2
    assert [ours.resize] == transforms.resize_size
    assert ours.interpolation == transforms.interpolation.value
    assert (list(ours.mean), list(ours.std)) == (list(transforms.mean), list(transforms.std))


def test_the_default_weights_come_first():
    assert source.tags("resnet50") == ("IMAGENET1K_V2", "IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("name", "older"),
    [
        (
            "densenet121",
            lambda key: (
                key.replace("norm1", "norm.1")
                .replace("norm2", "norm.2")
                .replace("conv1", "conv.1")
                .replace("conv2", "conv.2")
                if "denselayer" in key
                else key
            ),
        ),
        (
            "vit_b_32",
            lambda key: key.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"),
        ),
        ("resnet18", lambda key: None if key.endswith("num_batches_tracked") else key),
    ],
)
def test_files_with_the_names_of_older_versions_are_read(tmp_path, name, older):
    saved = get_model(name, num_classes=5).state_dict()
    state = {older(key): tensor for key, tensor in saved.items() if older(key)}
    assert state.keys() != saved.keys()
    torch.save(state, tmp_path / "old.pth")
    loaded = build(name, weights=tmp_path / "old.pth").state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in saved.items())
