"""The cut's law on the architectures that people use: exact, in fp32, forward and gradients."""

import math
import random

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import models

from budwood.models.building import build
from budwood.models.heads import head_names
from budwood.models.info import info
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small networks lose more by sharing work between threads than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def vision(name, **options):
    return models.get_model(name, weights=None, num_classes=5, **options)


def timm_net(name, **options):
    return timm.create_model(name, num_classes=5, **options)


def shapes(split):
    return [tensor.shape for tensor in split.frontier]


def test_vgg16_with_two_new_classifier_layers(law):
    network = unfreeze(freeze(vision("vgg16"), "*"), "classifier.3", "classifier.6")
    split = law(network, torch.randn(2, 3, 32, 32))
    assert shapes(split) == [(4096,)]


def test_googlenet_with_its_auxiliary_classifiers(law):
    network = vision("googlenet", init_weights=False, aux_logits=True)
    unfreeze(freeze(network, "*"), "fc", "aux?.fc?")
    split = law(network, torch.randn(2, 3, 64, 64))
    assert sorted(shapes(split)) == [(1024,), (2048,), (2048,)]


@pytest.mark.parametrize(
    ("unfrozen", "size", "frontier"),
    [(["fc"], 64, (2048,)), (["layer4", "fc"], 224, (1024, 14, 14))],
)
def test_resnet50(law, unfrozen, size, frontier):
    network = unfreeze(freeze(vision("resnet50"), "*"), *unfrozen)
    assert shapes(law(network, torch.randn(2, 3, size, size))) == [frontier]


@pytest.mark.parametrize(("name", "width"), [("efficientnet_b0", 1280), ("efficientnet_b7", 2560)])
def test_efficientnet(law, name, width):
    network = unfreeze(freeze(vision(name), "*"), "classifier")
    split = law(network, torch.randn(2, 3, 64, 64))
    assert shapes(split) == [(width,)]
    assert all("stochastic_depth" in path for path in split.silenced)
    assert split.silenced


TIMM = {
    "tf_efficientnet_lite0": (1280, 64, {}),
    "convnext_atto": (320, 64, {}),
    "vit_tiny_patch16_224": (192, 64, {"img_size": 64, "depth": 4, "attn_drop_rate": 0.1}),
    "mobilenetv3_small_100": (1024, 64, {}),
    "densenet121": (1024, 64, {"memory_efficient": False}),
    "regnety_002": (368, 64, {}),
    "inception_v3": (2048, 96, {}),
    "swin_tiny_patch4_window7_224": (192, 64, {"img_size": 64, "window_size": 2, "embed_dim": 24}),
}


@pytest.mark.parametrize("name", TIMM)
def test_timm_families(law, name):
    width, size, options = TIMM[name]
    network = timm_net(name, drop_rate=0.2, **options)
    head = network.default_cfg["classifier"]
    split = law(unfreeze(freeze(network, "*"), head), torch.randn(2, 3, size, size))
    assert shapes(split) == [(width,)]


def test_a_densenet_that_saves_memory_is_cut_around_its_opaque_layers(law):
    network = models.DenseNet(8, (2, 2, 2, 2), 16, drop_rate=0.2, memory_efficient=True)
    split = law(
        unfreeze(freeze(network, "*"), "features.denseblock4", "features.norm5", "classifier"),
        torch.randn(2, 3, 64, 64),
    )
    assert "features.denseblock1.denselayer1" in split.opaque
    assert "features.denseblock1.denselayer1" in split.silenced


WIDTHS = {
    "alexnet": 4096,
    "convnext_tiny": 768,
    "densenet121": 1024,
    "efficientnet_b0": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "mnasnet1_0": 1280,
    "mobilenet_v3_large": 1280,
    "regnet_y_400mf": 440,
    "resnet18": 512,
    "shufflenet_v2_x1_0": 1024,
    "swin_t": 768,
    "vgg11": 4096,
    "vit_b_16": 768,
    "vgg_a_lrn": 4096,
    "googlenet_naive": 4944,
    "resnet50_2015": 2048,
    "efficientnet_phi(0.5)": 1344,
    "timm/beit_base_patch16_224": 768,
    "timm/cait_xxs24_224": 192,
    "timm/efficientnet_lite0": 1280,
    "timm/mixer_s32_224": 512,
    "timm/mobilenetv4_conv_small": 1280,
    "timm/nf_resnet50": 2048,
    "timm/resnest14d": 2048,
    "timm/resmlp_12_224": 384,
}


@pytest.mark.parametrize("name", WIDTHS)
def test_the_default_head_is_fed_by_the_feature_width_in_both_modes(name):
    network = build(name, weights="none", classes=5, device="meta")
    unfreeze(freeze(network, "*"), *head_names(network))
    example = torch.zeros(1, 3, *info(network).preprocessing.size, device="meta")
    for split in (cut(network.eval(), example), cut(network.train(), example)):
        assert [math.prod(shape) for shape in shapes(split)] == [WIDTHS[name]]


CLASSICS = {
    "lenet5_1998": (84, 32, {}),
    "alexnet_2012": (4096, 227, {}),
    "googlenet_2014": (1024, 80, {"aux_heads": True}),
    "plain20_cifar": (64, 32, {}),
    "resnet20_cifar": (64, 32, {}),
    "efficientnet_b0_2019": (1280, 33, {}),
}


@pytest.mark.parametrize("name", CLASSICS)
def test_the_classics_as_their_papers_have_them(law, name):
    width, size, options = CLASSICS[name]
    network = build(name, weights="none", classes=5, **options)
    unfreeze(freeze(network, "*"), *head_names(network))
    split = law(network, torch.randn(2, len(info(network).preprocessing.mean), size, size))
    assert (width,) in shapes(split)
    assert not split.opaque


def tiny_networks():
    """Name, and network for a dropout rate; all for 3 x 32 x 32 photos."""

    def vit(rate):
        return timm_net(
            "vit_tiny_patch16_224",
            img_size=32,
            depth=2,
            embed_dim=48,
            init_values=0.1,
            drop_rate=rate,
            attn_drop_rate=rate,
            drop_path_rate=rate,
        )

    def convnext(rate):
        return timm_net(
            "convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 16, 16), drop_path_rate=rate
        )

    def densenet(rate):
        return models.DenseNet(8, (2, 2, 1, 1), 16, drop_rate=rate, num_classes=5)

    def mobilenet(rate):
        return timm_net("mobilenetv3_small_050", drop_rate=rate, drop_path_rate=rate)

    def torchvision_vit(rate):
        return models.VisionTransformer(
            32, 8, 2, 2, 32, 64, dropout=rate, attention_dropout=rate, num_classes=5
        )

    def efficientnet_lite(rate):
        return timm_net("tf_efficientnet_lite0", drop_rate=rate, drop_path_rate=rate)

    return {
        "vit": vit,
        "convnext": convnext,
        "densenet": densenet,
        "mobilenet": mobilenet,
        "torchvision_vit": torchvision_vit,
        "efficientnet_lite": efficientnet_lite,
    }


@st.composite
def frozen_names(draw, network: nn.Module):
    """Parameters to freeze, never all: a prefix, any subset, or all but a few."""
    names = [name for name, _ in network.named_parameters()]
    kind = draw(st.sampled_from(["prefix", "subset", "all but a few"]))
    if kind == "prefix":
        return names[: draw(st.integers(0, len(names) - 1))]
    order = random.Random(draw(st.integers(0, 2**16)))
    count = len(names) // 2 if kind == "subset" else len(names) - draw(st.integers(1, 3))
    return order.sample(names, count)


@pytest.mark.parametrize("rate", [0.0, 0.2])
@pytest.mark.parametrize("name", tiny_networks())
def test_any_choice_of_frozen_parameters(law, name, rate):
    torch.manual_seed(0)
    network, x = tiny_networks()[name](rate), torch.randn(3, 3, 32, 32)

    @settings(max_examples=3, deadline=None, derandomize=True, database=None)
    @given(frozen=frozen_names(network))
    def holds(frozen):
        unfreeze(network, "*")
        freeze(network, *frozen)
        law(network, x)

    holds()


@pytest.mark.parametrize("parameter", ["cls_token", "pos_embed", "blocks.0.ls1.gamma"])
def test_a_parameter_used_directly_trains(law, parameter):
    network = unfreeze(freeze(tiny_networks()["vit"](0.2), "*"), parameter)
    split = law(network, torch.randn(2, 3, 32, 32))
    assert not any("head" in tensor.name for tensor in split.frontier)
