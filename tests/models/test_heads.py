"""New heads, for every architecture there is."""

import copy
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from budwood.errors import ConfigError
from budwood.head_kinds import head_of
from budwood.models.building import structure
from budwood.models.catalog import find, list_models
from budwood.models.heads import (
    MLPHead,
    class_names,
    head_names,
    num_outputs,
    replace_head,
)

HEADS = {
    "alexnet": ["classifier.6"],
    "convnext_tiny": ["classifier.2"],
    "densenet121": ["classifier"],
    "efficientnet_b0": ["classifier.1"],
    "googlenet": ["fc"],
    "inception_v3": ["fc"],
    "maxvit_t": ["classifier.5"],
    "mnasnet0_5": ["classifier.1"],
    "mobilenet_v3_small": ["classifier.3"],
    "regnet_y_400mf": ["fc"],
    "resnet18": ["fc"],
    "shufflenet_v2_x0_5": ["fc"],
    "squeezenet1_1": ["classifier.1"],
    "swin_t": ["head"],
    "vgg11": ["classifier.6"],
    "vit_b_32": ["heads.head"],
    "lenet5_1998": ["output"],
    "alexnet_course": ["classifier.fc3"],
    "googlenet_2014": ["fc"],
    "efficientnet_b0_2019": ["classifier"],
    "efficientnet_lite0": ["classifier"],
    "timm/vgg11": ["head.fc"],
    "convnext_atto": ["head.fc"],
    "deit_tiny_distilled_patch16_224": ["head", "head_dist"],
    "levit_384_s8": ["head.linear", "head_dist.linear"],
    "crossvit_9_240": ["head.0", "head.1"],
    "volo_d1_224": ["head", "aux_head"],
    "dpn68": ["classifier"],
    "vit_small_patch14_dinov2": ["head"],
}
"""One or more of each way to hold a head."""

FEATURES_ONLY = {
    "deepseek_vit_412m_enc",
    "gemma4_vit_167m_enc",
    "gemma4_vit_570m_enc",
    "mobilenetv5_300m_enc",
    "qwen3_vit_88m_enc",
    "qwen3_vit_306m_enc",
    "qwen3_vit_416m_enc",
}
"""Encoders that timm gives no place for a head."""


def surveyed() -> list[str]:
    if os.environ.get("BUDWOOD_ALL_ARCHS") == "1":
        return [each.name for each in list_models() if each.name not in FEATURES_ONLY]
    return list(HEADS)


def outputs(network: nn.Module, name: str) -> torch.Size:
    """The shape of what the network gives for two photos, on the meta device."""
    size = find(name).input
    return network(torch.empty(2, *size, device="meta")).shape


@pytest.mark.parametrize("name", surveyed())
class TestEveryArchitecture:
    @pytest.mark.parametrize("head", ["linear", "mlp:6"])
    def test_a_new_head_gives_one_output_a_class(self, name, head):
        network = structure(find(name), device="meta").eval()
        with torch.no_grad():
            assert outputs(replace_head(network, 7, head), name) == (2, 7)
        assert num_outputs(network) == 7

    def test_a_head_is_replaced_again(self, name):
        network = structure(find(name), device="meta").eval()
        before = head_names(network)
        replace_head(replace_head(network, 7, "mlp:6,5"), 3)
        assert head_names(network) == before
        assert num_outputs(network) == 3

    def test_nothing_but_heads_changes(self, name):
        network = structure(find(name), device="meta")
        heads = tuple(f"{path}." for path in head_names(network))
        before = {
            key: value for key, value in network.named_parameters() if not key.startswith(heads)
        }
        after = dict(replace_head(network, 7).named_parameters())
        assert all(after[key] is value for key, value in before.items())
        assert all(key in before or key.startswith(heads) for key in after)


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_where_the_library_has_them(name):
    assert head_names(structure(find(name), device="meta")) == HEADS[name]


@pytest.mark.parametrize("name", sorted(FEATURES_ONLY & {each.name for each in list_models()})[:2])
def test_an_encoder_without_a_place_for_a_head_is_refused(name):
    with pytest.raises(ConfigError, match="must have a linear layer or a 1x1 convolution"):
        replace_head(structure(find(name), device="meta"), 7)


@pytest.mark.parametrize(
    ("name", "paths"),
    [("googlenet", ["fc", "aux1.fc2", "aux2.fc2"]), ("inception_v3", ["fc", "AuxLogits.fc"])],
)
def test_auxiliary_heads_get_as_many_classes_and_stay_linear(name, paths):
    network = structure(find(name), aux_heads=True, device="meta")
    assert head_names(network) == paths
    replace_head(network, 7, "mlp:6")
    assert head_names(network) == paths
    assert isinstance(network.fc, MLPHead)
    assert all(network.get_submodule(path).out_features == 7 for path in paths[1:])
    size = find(name).input
    main, *auxiliary = network.train()(torch.empty(2, *size, device="meta"))
    assert {main.shape, *(each.shape for each in auxiliary)} == {(2, 7)}


def test_a_convolution_is_replaced_by_1x1_convolutions():
    network = replace_head(structure(find("squeezenet1_1"), device="meta"), 7, "mlp:6")
    layers = [each for each in network.classifier[1] if isinstance(each, nn.Conv2d)]
    assert [each.out_channels for each in layers] == [6, 7]
    assert {each.kernel_size for each in layers} == {(1, 1)}


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 5))


def test_of_any_other_network_the_last_linear_layer_is_the_head():
    assert head_names(plain()) == ["2"]


def test_the_projection_of_an_attention_is_no_head():
    network = nn.ModuleDict({"head": nn.Linear(4, 4), "attention": nn.MultiheadAttention(4, 1)})
    assert head_names(network) == ["head"]


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.ReLU()),
        nn.ModuleDict({"classifier": nn.Sequential(nn.Conv2d(2, 2, 3))}),
    ],
)
def test_a_network_without_a_head_is_refused(network):
    with pytest.raises(
        ConfigError, match="must have a linear layer or a 1x1 convolution as its head"
    ):
        replace_head(network, 2)


def test_hidden_layers_are_each_followed_by_relu_and_dropout():
    layers = replace_head(plain(), 3, "mlp:8,6")[2]
    assert [str(each) for each in layers] == [
        "Linear(in_features=4, out_features=8, bias=True)",
        "ReLU()",
        "Dropout(p=0.5, inplace=False)",
        "Linear(in_features=8, out_features=6, bias=True)",
        "ReLU()",
        "Dropout(p=0.5, inplace=False)",
        "Linear(in_features=6, out_features=3, bias=True)",
    ]


def test_new_layers_train_even_in_a_frozen_network():
    network = replace_head(plain().requires_grad_(False), 3)
    assert [each.requires_grad for each in network.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("training", [True, False])
def test_new_layers_are_in_the_mode_of_the_network(training):
    network = replace_head(plain().train(training), 3, "mlp:8")
    assert {each.training for each in network.modules()} == {training}


def test_new_layers_are_of_the_networks_type():
    network = replace_head(plain().to(torch.bfloat16), 3)
    assert {each.dtype for each in network.parameters()} == {torch.bfloat16}


@given(st.integers(0, 2**32))
def test_the_seed_decides_and_the_global_state_is_untouched(seed):
    before = torch.get_rng_state()
    one, other = (replace_head(plain(), 3, "mlp:8", seed)[2].state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    different = replace_head(plain(), 3, "mlp:8", seed + 1)[2].state_dict()
    assert not torch.equal(one["0.weight"], different["0.weight"])
    torch.set_rng_state(before)
    replace_head(plain(), 3, "mlp:8", seed)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    plain()
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize(
    "head", ["", "mlp", "mlp:", "mlp:0", "mlp:8,", "mlp:a", "Linear", "mlp:-1"]
)
def test_a_head_that_cannot_be_read_changes_nothing(head):
    network = plain()
    before = copy.deepcopy(network)
    with pytest.raises(ConfigError, match="must be linear, or mlp: and the widths"):
        replace_head(network, 3, head)
    assert str(network) == str(before)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (0, "must be at least 1"),
        ([], "a number, or a list of different names"),
        ("cat", "a number, or a list of different names"),
        (["cat", ""], "a number, or a list of different names"),
        (["cat", "dog", "cat"], "'cat' is there twice"),
    ],
)
def test_impossible_classes_change_nothing(classes, said):
    network = plain()
    with pytest.raises(ConfigError, match=said):
        replace_head(network, classes)
    assert network[2].out_features == 5


@given(st.lists(st.integers(1, 10**6), min_size=1))
def test_widths_are_read_back(widths):
    assert head_of(f"mlp:{','.join(map(str, widths))}")[1] == tuple(widths)


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_names_keep_their_order(names):
    assert class_names(names) == tuple(names)
