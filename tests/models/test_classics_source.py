"""Which published weights belong to the classics, and that they load."""

import math

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from budwood.errors import WeightsError
from budwood.models.building import build, structure
from budwood.models.catalog import find, list_models
from budwood.models.info import info
from budwood.models.sources import source as named

source = named("budwood")

DONORS = {
    "vgg_a": "torchvision/vgg11",
    "vgg_b": "torchvision/vgg13",
    "vgg_d": "torchvision/vgg16",
    "vgg_e": "torchvision/vgg19",
    "resnet18_2015": "torchvision/resnet18",
    "resnet34_2015": "torchvision/resnet34",
    "resnet50_v15": "torchvision/resnet50",
    "resnet101_v15": "torchvision/resnet101",
    "resnet152_v15": "torchvision/resnet152",
    **{
        f"efficientnet_{size}_2019": f"timm/tf_efficientnet_{size}"
        for size in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2")
    },
}
"""The networks that are another library's in all but name."""

NAMES = [each.bare for each in list_models("budwood/*")]


def shapes(network) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def values(network) -> dict[str, Tensor]:
    """Random tensors for a network; statistics and shifts would show a wrong order or constant."""
    drawn = {}
    for name, tensor in network.state_dict().items():
        new = torch.zeros(tensor.shape, dtype=tensor.dtype)
        if tensor.ndim > 1:
            bound = math.sqrt(6 / tensor[0].numel())
            new.uniform_(-bound, bound)
        elif name.endswith((".running_var", ".weight")):
            new.uniform_(0.5, 1.5)
        elif name.endswith((".running_mean", ".bias")):
            new.normal_(0, 0.1)
        drawn[name] = new
    return drawn


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_published_where_the_function_is_the_same(name):
    assert bool(source.tags(name)) == (name in DONORS)


@pytest.mark.parametrize("name", DONORS)
def test_tags_preprocessing_and_files_are_the_donors(name):
    library, donor = DONORS[name].split("/")
    theirs = named(library)
    assert set(source.tags(name)) == set(theirs.tags(donor))
    for tag in source.tags(name):
        assert source.preprocessing(name, tag) == theirs.preprocessing(donor, tag)
    first = source.tags(name)[0]
    assert source.preprocessing(name, None) == theirs.preprocessing(donor, first)
    if library == "timm":
        assert source.tag_of_file(name, f"{donor}.{first}.safetensors") == first


@pytest.mark.parametrize("number", range(8))
def test_efficientnets_default_weights_saw_nothing_but_imagenet(number):
    assert source.tags(f"efficientnet_b{number}_2019")[0] == "aa_in1k"


def test_the_default_weights_of_l2_are_for_the_papers_size():
    assert source.tags("efficientnet_l2_2019")[0] == "ns_jft_in1k"
    assert find("efficientnet_l2_2019").input == (3, 800, 800)


def test_the_name_of_torchvisions_file_tells_its_weights():
    assert source.tag_of_file("resnet50_v15", "resnet50-0676ba61.pth") == "IMAGENET1K_V1"
    assert source.tag_of_file("lenet5", "resnet50-0676ba61.pth") is None


@pytest.mark.parametrize("name", DONORS)
def test_tensors_have_the_names_and_shapes_of_the_donors(name):
    ours, theirs = (structure(find(each), device="meta") for each in (name, DONORS[name]))
    assert shapes(ours) == shapes(theirs)


@pytest.mark.parametrize("name", ["vgg_a", "resnet18_2015", "resnet50_v15", "efficientnet_b0_2019"])
def test_the_same_tensors_give_the_same_logits(name):
    torch.manual_seed(0)
    theirs, ours = (
        structure(find(each), classes=7, device="meta").eval() for each in (DONORS[name], name)
    )
    state = values(theirs)
    for network in (theirs, ours):
        network.load_state_dict(state, assign=True)
    with torch.no_grad():
        # An odd size: padding and strides must agree at the borders too.
        images = torch.randn(2, 3, 75, 66)
        assert ours(images).std() > 0.01
        assert torch.equal(ours(images), theirs(images))


def test_original_and_newer_resnet50_have_the_same_tensors_but_only_one_has_weights():
    original, newer = (
        structure(find(name), device="meta") for name in ("resnet50_2015", "resnet50_v15")
    )
    assert shapes(original) == shapes(newer)
    with pytest.raises(WeightsError, match="No weights are published for resnet50_2015"):
        build("resnet50_2015")
    with pytest.raises(WeightsError, match="No weights are published for resnet50_2015"):
        source.file("resnet50_2015", "IMAGENET1K_V1", None)


def test_published_weights_are_downloaded_for_the_donor_and_loaded(tmp_path, monkeypatch):
    theirs = timm.create_model("tf_efficientnet_b0")
    path = tmp_path / "model.safetensors"
    save_file(theirs.state_dict(), path)
    asked = []
    monkeypatch.setattr(named("timm"), "file", lambda *given: asked.append(given) or path)
    network = build("efficientnet_b0_2019")
    assert asked == [("tf_efficientnet_b0", "aa_in1k", None)]
    assert info(network).origin.weights == "aa_in1k"
    assert torch.equal(network.conv_head.weight, theirs.conv_head.weight)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5", (1, 32, 32)),
        ("alexnet_course", (3, 227, 227)),
        ("vgg_c", (3, 224, 224)),
        ("resnet20_cifar", (3, 32, 32)),
        ("efficientnet_phi(1)", (3, 256, 256)),
    ],
)
def test_without_published_weights_the_size_is_the_papers(name, size):
    preprocessing = source.preprocessing(name, None)
    assert (len(preprocessing.mean), *preprocessing.size) == size == find(name).input
