"""Summaries agree with published numbers, add up, and leave the network alone."""

import json
import math
from collections import namedtuple
from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn
from torchvision import models

from budwood.errors import ConfigError
from budwood.inspection.summarizing import summarize
from budwood.models.info import set_info
from budwood.surgery.freezing import freeze, unfreeze


def hollow(name, **options):
    """A network of torchvision or timm without memory for its weights, in eval mode."""
    make = timm.create_model if name.startswith("timm:") else models.get_model
    with torch.device("meta"):
        return make(name.removeprefix("timm:"), **options).eval()


GOOGLENET = {"init_weights": False}
PUBLISHED = [  # parameters and multiply-adds in 10^9, as torchvision's model pages tell them
    ("vgg16", {}, 138_357_544, 15.47),
    ("resnet50", {}, 25_557_032, 4.09),
    ("resnet152", {}, 60_192_808, 11.51),
    ("googlenet", {"aux_logits": False, **GOOGLENET}, 6_624_904, 1.498),
    ("efficientnet_b0", {}, 5_288_548, 0.386),
    ("alexnet", {}, 61_100_840, 0.714),
    ("vit_b_16", {}, 86_567_656, 17.56),
]


@pytest.mark.parametrize(("name", "options", "parameters", "gmacs"), PUBLISHED)
def test_totals_are_the_published_ones(name, options, parameters, gmacs):
    summary = summarize(hollow(name, **options))
    assert summary.parameters == parameters
    digits = len(str(gmacs).partition(".")[2])
    assert round(summary.macs / 1e9, digits) == gmacs
    assert summary.output == (1, 1000)


ADDED_UP = [
    "resnet18",
    "vit_b_16",
    "swin_t",
    "densenet121",
    "timm:vit_tiny_patch16_224",
    "timm:convnext_atto",
    "timm:cait_xxs24_224",
    "timm:tf_efficientnet_lite0",
]


@pytest.mark.parametrize("name", ADDED_UP)
@pytest.mark.parametrize("depth", [None, 1, 3])
def test_leaf_rows_add_up_to_the_totals(name, depth):
    network = freeze(hollow(name), "*weight")
    summary = summarize(network, depth=depth)
    parameters = list(network.parameters())
    assert sum(row.macs for row in summary.leaves) == summary.macs > 0
    assert sum(row.parameters for row in summary.leaves) == summary.parameters
    assert sum(row.trainable for row in summary.leaves) == summary.trainable
    assert summary.parameters == sum(p.numel() for p in parameters)
    assert summary.trainable == sum(p.numel() for p in parameters if p.requires_grad)


def test_depth_sums_up_what_lies_deeper():
    network = hollow("resnet18")
    deep, flat = summarize(network), summarize(network, depth=1)
    children = [name for name, _ in network.named_children()]
    assert [row.name for row in flat.rows] == [*children[:-1], "(flatten)", "fc"]
    assert set(flat.rows) <= set(deep.rows)


@pytest.mark.parametrize(
    ("layer", "by_hand"),
    [
        (nn.Conv2d(6, 8, (3, 5), stride=2, padding=1, groups=2), 8 * 16 * 15 * (6 // 2) * 3 * 5),
        (nn.Conv2d(6, 6, 3, dilation=2, groups=6), 6 * 28 * 28 * 9),
        (nn.Linear(32, 7), 6 * 32 * 32 * 7),
        (nn.BatchNorm2d(6), 0),
    ],
)
def test_multiply_adds_are_those_of_the_formulas(layer, by_hand):
    assert summarize(layer, (6, 32, 32)).macs == by_hand
    assert summarize(layer, (6, 32, 32), batch=3).macs == 3 * by_hand


class Attention(nn.Module):
    """Matrix products and a parameter of its own, beside a layer."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.mix = nn.Linear(8, 8)

    def forward(self, x):
        return self.mix(x @ x.transpose(-1, -2) @ x)


def test_what_a_block_does_and_holds_itself_has_a_row_of_its_own():
    rows = {row.name: row for row in summarize(nn.Sequential(Attention()), (1, 4, 8)).rows}
    own = rows["0.(own)"]
    assert (own.parameters, own.macs, own.depth) == (5, 2 * 4 * 4 * 8, 2)
    assert rows["0"].macs == own.macs + rows["0.mix"].macs


def test_class_token_and_positions_of_a_transformer_are_not_lost():
    network = hollow("timm:vit_tiny_patch16_224")
    own = next(row for row in summarize(network, depth=1).rows if row.name == "(own)")
    assert own.parameters == network.cls_token.numel() + network.pos_embed.numel()


@pytest.mark.parametrize("frozen", [True, False])
def test_attention_is_counted_whatever_path_torch_takes(frozen):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval().requires_grad_(not frozen)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = layer

        def forward(self, x):
            return self.attention(x[0], x[0], x[0], need_weights=False)

    n, d = 5, 8
    assert summarize(Block(), (1, n, d)).macs == 4 * n * d * d + 2 * n * n * d


def test_a_shared_layer_is_counted_once_and_works_twice():
    layer = nn.Linear(4, 4)
    summary = summarize(nn.Sequential(layer, nn.Sequential(layer, nn.ReLU())), (1, 2, 4))
    assert summary.parameters == 20
    assert summary.macs == 2 * (2 * 16)
    assert [(row.name, row.macs) for row in summary.leaves] == [("0", 64), ("1.1", 0)]


def test_a_shared_parameter_is_counted_where_it_comes_first():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    assert [row.parameters for row in summarize(network, (1, 2, 4)).rows] == [20, 4]


def test_states_tell_frozen_from_trainable():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.ReLU(), nn.Conv2d(4, 4, 1)
    )
    unfreeze(freeze(network, "*"), "0.0", "2")
    states = {row.name: row.state for row in summarize(network, (3, 8, 8)).rows}
    assert states == {
        "0": "partly",
        "0.0": "trainable",
        "0.1": "frozen",
        "1": "-",
        "2": "trainable",
    }


def test_trainable_share_follows_freezing():
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 4))
    assert summarize(freeze(network, "0"), (1, 1, 4)).trainable_share == 16 / 31
    assert summarize(nn.ReLU()).trainable_share == 0


def test_auxiliary_heads_show_in_train_mode_only():
    network = hollow("googlenet", **GOOGLENET)
    resting = {row.name: row for row in summarize(network, depth=1).rows}
    working = {row.name: row for row in summarize(network.train(), depth=1).rows}
    assert (resting["aux1"].output, resting["aux1"].macs) == (None, 0)
    assert working["aux1"].output == (1, 1000)
    assert working["aux1"].parameters == resting["aux1"].parameters > 0
    assert summarize(network).output == (1, 1000)


def test_the_first_tensor_counts_where_a_layer_gives_back_several():
    pair = namedtuple("pair", "rest tensors")

    class Several(nn.Module):
        def forward(self, x):
            return pair(None, {"a": x[:, :1], "b": x})

    assert summarize(Several(), (3, 2, 2)).output == (1, 1, 2, 2)


def test_inception_is_summarised_in_train_mode_despite_one_photo():
    network = hollow("inception_v3", **GOOGLENET).train()
    assert summarize(network, (3, 299, 299)).output == (1, 1000)


def marks(network):
    """Modes, hooks and gradients, module by module."""
    return [
        (
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            [p.requires_grad for p in module.parameters(recurse=False)],
        )
        for module in network.modules()
    ]


def test_nothing_in_the_network_or_the_random_state_changes():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.ReLU(True))
    freeze(network.train(), "0")
    tensors = {name: value.clone() for name, value in network.state_dict().items()}
    before, random_state = marks(network), torch.get_rng_state()
    summarize(network, (3, 8, 8))
    assert all(torch.equal(tensors[name], value) for name, value in network.state_dict().items())
    assert marks(network) == before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_what_a_layer_remembers_of_its_input_does_not_stay():
    class Remembers(nn.Module):
        def forward(self, x):
            self.seen = x
            return x

    network = Remembers()
    summarize(network)
    assert not hasattr(network, "seen")


def test_weights_in_memory_are_not_copied():
    network = nn.Linear(1_000_000, 1_000_000, bias=False, device="meta")
    network.weight = nn.Parameter(torch.zeros(1).expand(1_000_000, 1_000_000))  # 4 TB if copied
    assert summarize(network, (1, 2, 1_000_000)).macs == 2 * 10**12


def test_a_tensor_that_is_no_parameter_joins_in():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.ones(3, requires_grad=True) * 2  # a copy of this one is refused

        def forward(self, x):
            return x.mean((2, 3)) + self.shift

    assert summarize(Shifted()).output == (1, 3)


def test_half_precision_networks_get_half_precision_input():
    assert summarize(nn.Conv2d(3, 4, 3).bfloat16(), (3, 8, 8)).output == (1, 4, 6, 6)


def test_input_is_by_default_that_of_the_preprocessing():
    network = nn.Conv2d(1, 2, 3)
    set_info(network, preprocessing=SimpleNamespace(size=(10, 20), mean=(0.5,)))
    assert summarize(network).input == (1, 1, 10, 20)
    assert summarize(nn.Conv2d(3, 2, 3)).input == (1, 3, 224, 224)


def test_receptive_fields_stand_beside_their_layers():
    fields = {row.name: row.receptive_field for row in summarize(hollow("vgg16")).rows}
    assert (fields["features.4"], fields["features.30"], fields["classifier.0"]) == (6, 212, None)


def test_json_survives_a_round_trip():
    value = summarize(freeze(hollow("alexnet"), "features.*"), depth=1).to_json()
    assert json.loads(json.dumps(value)) == value
    assert value["parameters"] == {
        "total": 61_100_840,
        "trainable": 58_631_144,
        "trainable_percent": 95.96,
    }
    assert (value["input"], value["output"]) == ([1, 3, 224, 224], [1, 1000])
    assert value["layers"][0] == {
        "name": "features",
        "type": "Sequential",
        "depth": 1,
        "input": [1, 3, 224, 224],
        "operation": "",
        "output": [1, 256, 6, 6],
        "size_formula": None,
        "parameters": 2_469_696,
        "trainable": 0,
        "parameters_formula": None,
        "macs": 655_566_528,
        "state": "frozen",
        "receptive_field": 195,
    }


def evaluated(formula):
    """What the left side of an equation comes to."""
    left, _, right = formula.replace("×", "*").rpartition(" = ")
    value = eval(left, {"__builtins__": {}, "floor": math.floor, "ceil": math.ceil})
    assert value == int(right), formula
    return value


@pytest.mark.parametrize("name", ["vit_b_16", "densenet121", "timm:tf_efficientnet_lite0"])
def test_formulas_come_to_the_numbers_beside_them(name):
    for row in summarize(hollow(name)).leaves:
        if row.parameters:
            assert evaluated(row.parameters_formula) == row.parameters
        else:
            assert row.parameters_formula is None
        for part in (row.size_formula or "").split("; "):
            if " = " in part:
                assert evaluated(part) in row.output


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "googlenet", "resnet18"])
def test_every_layer_that_changes_the_size_of_maps_has_a_formula(name):
    summary = summarize(hollow(name, **(GOOGLENET if name == "googlenet" else {})))
    changing = [row for row in summary.leaves if row.output and row.input[2:] != row.output[2:]]
    assert len(changing) > 2
    assert [row.name for row in changing if row.size_formula is None] == []


def test_blocks_have_no_operation_and_no_formula():
    network = hollow("resnet18")
    for row in summarize(network).rows:
        is_block = "(" not in row.name and any(network.get_submodule(row.name).children())
        assert (row.operation == "") == is_block
        if is_block:
            assert (row.size_formula, row.parameters_formula) == (None, None)


def test_the_input_of_a_layer_may_be_given_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.conv(input=x)

    assert summarize(Named(), (3, 8, 9)).rows[0].input == (1, 3, 8, 9)


def test_a_layer_that_does_not_run_has_neither_input_nor_output():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.spare = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return x + 1

    (row,) = summarize(Unused(), (3, 8, 8)).rows
    assert (row.input, row.output, row.size_formula) == (None, None, None)


def test_a_network_that_cannot_run_on_the_input_is_told_with_the_option():
    with pytest.raises(ConfigError, match=r"input of 3x8x8: .*--input 3,224,224"):
        summarize(hollow("alexnet"), (3, 8, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": (3, 0, 8)}, "must be at least 1.*--input 3,224,224"),
        ({"input": (224, 224)}, "channels, height and width"),
        ({"batch": 0}, "must be at least 1"),
        ({"depth": 0}, "--depth must be at least 1"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        summarize(nn.ReLU(), **options)


def test_lazy_layers_are_refused_and_stay_lazy():
    network = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ConfigError, match=r"'0.weight' is not known.*once on a real batch"):
        summarize(network)
    assert network[0].has_uninitialized_params()
