"""What `weights=` means."""

from pathlib import Path

import pytest

from budwood.errors import WeightsError
from budwood.models.catalog import find
from budwood.models.constructing import ChosenWeights, choose, structure_tag


@pytest.mark.parametrize(
    ("name", "weights", "tag"),
    [
        ("resnet50", "imagenet", "IMAGENET1K_V2"),
        ("resnet50", "IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("timm/resnet50", "imagenet", "a1_in1k"),
        ("timm/resnet50", "tv_in1k", "tv_in1k"),
        ("efficientnet_lite0", "imagenet", "packaged"),
    ],
)
def test_published_weights_are_chosen_by_name(name, weights, tag):
    choice = choose(find(name), weights)
    assert choice == ChosenWeights(tag, tag)
    assert choice.published == tag


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0", "vit_giant_patch14_224"])
def test_none_is_always_possible(name):
    assert choose(find(name), "none") == ChosenWeights("none", None)
    assert choose(find(name), "none").published is None


@pytest.mark.parametrize(
    "weights", [Path("mine"), "mine.pth", "./mine", r"a\mine", "m.safetensors"]
)
def test_what_looks_like_a_path_is_one(weights):
    choice = choose(find("resnet50"), weights)
    assert choice.file == Path(weights)
    assert choice.label == f"file:{Path(weights).name}"
    assert choice.published is None


@pytest.mark.parametrize(
    ("name", "file", "tag"),
    [
        ("resnet50", "resnet50-0676ba61.pth", "IMAGENET1K_V1"),
        ("resnet50", "resnet50-11ad3fa6.pth", "IMAGENET1K_V2"),
        ("timm/resnet50", "resnet50.tv_in1k.safetensors", "tv_in1k"),
        ("legacy_senet154", "legacy_senet154-e9eb9fe6.pth", "in1k"),
        ("resnet50", "mine.pth", None),
        ("timm/resnet50", "mine.pth", None),
        ("efficientnet_lite0", "mine.pth", "packaged"),
    ],
)
def test_a_file_named_as_published_follows_those_weights(name, file, tag):
    choice = choose(find(name), file)
    assert choice.tag == tag
    assert choice.published is None
    assert structure_tag(find(name), choice.label) == tag


def test_unknown_weights_name_those_there_are():
    expected = (
        r"Did you mean 'IMAGENET1K_V2'\? There are IMAGENET1K_V2, IMAGENET1K_V1; and imagenet"
    )
    with pytest.raises(WeightsError, match=expected):
        choose(find("resnet50"), "imagenet1k_v2")


@pytest.mark.parametrize(
    ("weights", "said"), [("imagenet", "No weights"), ("x", "none are called 'x'")]
)
def test_an_architecture_without_weights_says_how_to_go_on(weights, said):
    with pytest.raises(WeightsError, match=rf"{said}.*--weights none.*--weights PATH"):
        choose(find("vit_giant_patch14_224"), weights)


def test_weights_that_are_not_published_any_more_are_named():
    with pytest.raises(WeightsError, match="No weights of resnet50 are called 'OLD'"):
        structure_tag(find("resnet50"), "OLD")
