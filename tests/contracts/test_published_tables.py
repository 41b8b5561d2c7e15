"""The classics against the tables of their papers: parameters and multiply-adds.

Where a paper is wrong or rounds away too much, arithmetic rules; what is printed stands beside it
and is marked as misprinted. Papers call multiply-adds FLOPs.
"""

from functools import cache

import pytest
from torch import nn

from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import LayerRow, Summary
from budwood.models.building import build
from budwood.models.catalog import find, list_models


def table(name: str, size: int | None = None) -> Summary:
    """The summary of a network at the size of its weights, or at another."""
    return _summary(name, size)


@cache
def _summary(name: str, size: int | None) -> Summary:
    network = build(name, weights="none", device="meta")
    return summarize(network, None if size is None else (3, size, size))


def rows(name: str) -> dict[str, LayerRow]:
    return {row.name: row for row in table(name).rows}


PARAMETERS = {
    "lenet5": 61_706,
    "lenet5_1998": 60_000,
    "alexnet_course": 62_378_344,
    "alexnet_2012": 60_965_224,
    "vgg_a": 132_863_336,
    "vgg_a_lrn": 132_863_336,
    "vgg_b": 133_047_848,
    "vgg_c": 133_638_952,
    "vgg_d": 138_357_544,
    "vgg_e": 143_667_240,
    "googlenet_2014": 6_998_552,
    "googlenet_naive": 97_526_008,
    "resnet18_2015": 11_689_512,
    "resnet34_2015": 21_797_672,
    "resnet50_2015": 25_557_032,
    "resnet101_2015": 44_549_160,
    "resnet152_2015": 60_192_808,
    "resnet50_v15": 25_557_032,
    "resnet101_v15": 44_549_160,
    "resnet152_v15": 60_192_808,
    "resnet20_cifar": 269_722,
    "resnet56_cifar": 853_018,
    "plain20_cifar": 269_722,
    "plain56_cifar": 853_018,
    "efficientnet_b0_2019": 5_288_548,
    "efficientnet_b1_2019": 7_794_184,
    "efficientnet_b2_2019": 9_109_994,
    "efficientnet_b3_2019": 12_233_232,
    "efficientnet_b4_2019": 19_341_616,
    "efficientnet_b5_2019": 30_389_784,
    "efficientnet_b6_2019": 43_040_704,
    "efficientnet_b7_2019": 66_347_960,
    "efficientnet_b8_2019": 87_413_142,
    "efficientnet_l2_2019": 480_309_308,
}

PROJECTIONS = {18: 173_824, 34: 173_824, 50: 2_776_576, 101: 2_776_576, 152: 2_776_576}
"""What the shortcuts of option B weigh: a plain network has that much less."""


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters(name, parameters):
    assert find(name).parameters == parameters


@pytest.mark.parametrize(("depth", "projections"), PROJECTIONS.items())
def test_parameters_of_plain_networks(depth, projections):
    weighed = rows(f"resnet{depth}_2015").items()
    shortcuts = sum(row.parameters for name, row in weighed if name.endswith("downsample"))
    assert shortcuts == projections
    assert find(f"resnet{depth}_2015").parameters - find(f"plain{depth}").parameters == projections


def test_every_classic_is_in_one_of_these_tables():
    listed = {*PARAMETERS, *(f"plain{depth}" for depth in PROJECTIONS)}
    assert listed == {each.bare for each in list_models("budwood/*")}


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        *({"vgg_a": 133, "vgg_a_lrn": 133, "vgg_b": 133, "vgg_c": 134}.items()),
        *({"vgg_d": 138, "vgg_e": 144, "resnet20_cifar": 0.27, "resnet56_cifar": 0.85}.items()),
        *({"efficientnet_b0_2019": 5.3, "efficientnet_b1_2019": 7.8}.items()),
        *({"efficientnet_b3_2019": 12, "efficientnet_b4_2019": 19}.items()),
        *({"efficientnet_b5_2019": 30, "efficientnet_b6_2019": 43}.items()),
        *({"efficientnet_b7_2019": 66}.items()),
        ("efficientnet_b2_2019", 9.1),  # misprinted as 9.2
    ],
)
def test_parameters_as_the_papers_round_them(name, millions):
    digits = len(str(millions).partition(".")[2])
    assert round(find(name).parameters / 1e6, digits) == millions


class TestLeNet:
    @pytest.mark.parametrize(
        ("layer", "output", "parameters"),
        [
            ("c1", (6, 28, 28), 156),
            ("s2", (6, 14, 14), 12),
            ("c3", (16, 10, 10), 1516),
            ("s4", (16, 5, 5), 32),
            ("c5", (120, 1, 1), 48_120),
            ("f6", (84,), 10_164),
            ("output", (10,), 0),
        ],
    )
    def test_every_layer_is_the_papers(self, layer, output, parameters):
        row = rows("lenet5_1998")[layer]
        assert (row.output, row.parameters) == ((1, *output), parameters)

    def test_its_connections_are_the_papers(self):
        """A weight is used once for each place; the paper counts biases as connections, too."""
        by_layer = rows("lenet5_1998")
        connections = {
            layer: by_layer[layer].macs + places
            for layer, places in {
                "c1": 6 * 28 * 28,
                "c3": 16 * 10 * 10,
                "c5": 120,
                "f6": 84,
            }.items()
        }
        assert connections == {"c1": 122_304, "c3": 151_600, "c5": 48_120, "f6": 10_164}


class TestAlexNet:
    @pytest.mark.parametrize(
        ("layer", "output", "parameters"),
        [
            ("features.conv1", (96, 55, 55), 34_944),
            ("features.pool1", (96, 27, 27), 0),
            ("features.norm1", (96, 27, 27), 0),
            ("features.conv2", (256, 27, 27), 614_656),  # misprinted as 221,440: a 3x3 kernel
            ("features.pool2", (256, 13, 13), 0),
            ("features.norm2", (256, 13, 13), 0),
            ("features.conv3", (384, 13, 13), 885_120),  # (13 - 3 + 2) / 1 + 1, misprinted as 11
            ("features.conv4", (384, 13, 13), 1_327_488),  # the same
            ("features.conv5", (256, 13, 13), 884_992),  # the same
            ("features.pool3", (256, 6, 6), 0),
            ("classifier.fc1", (4096,), 37_752_832),
            ("classifier.fc2", (4096,), 16_781_312),
            ("classifier.fc3", (1000,), 4_097_000),
        ],
    )
    def test_every_row_of_the_courses_table(self, layer, output, parameters):
        row = rows("alexnet_course")[layer]
        assert (row.output, row.parameters) == ((1, *output), parameters)

    @pytest.mark.parametrize(
        ("layer", "parameters"),
        [("features.conv2", 307_456), ("features.conv4", 663_936), ("features.conv5", 442_624)],
    )
    def test_two_towers_halve_three_convolutions(self, layer, parameters):
        assert rows("alexnet_2012")[layer].parameters == parameters


GOOGLENET = {
    # module: weights by arithmetic, those of the paper in K = 1024, multiply-adds in M of the paper
    ("conv1",): (9_408, None, None),  # misprinted as 2.7K and 34
    ("conv2", "conv3"): (114_688, 112, 360),
    ("inception3a",): (163_328, 159, 128),
    ("inception3b",): (388_096, 380, 304),
    ("inception4a",): (375_552, 364, 73),
    ("inception4b",): (448_512, 437, 88),
    ("inception4c",): (509_440, None, 100),  # misprinted as 463K; 497.5K
    ("inception4d",): (604_672, 580, 119),
    ("inception4e",): (867_328, 840, 170),
    ("inception5a",): (1_042_432, None, None),  # misprinted as 1072K and 54; 1018K and 51.1
    ("inception5b",): (1_442_816, 1388, 71),
    ("fc",): (1_024_000, 1000, 1),
}
ARITHMETIC = {"conv1": 118_013_952, "inception4c": 99_850_240, "inception5a": 51_079_168}


class TestGoogLeNet:
    @pytest.mark.parametrize("layers", GOOGLENET, ids=lambda layers: "+".join(layers))
    def test_every_row_of_the_papers_table(self, layers):
        weights, thousands, millions = GOOGLENET[layers]
        network = build("googlenet_2014", weights="none", device="meta")
        parts = [network.get_submodule(layer) for layer in layers]
        assert sum(weights_of(part) for part in parts) == weights
        if thousands is not None:
            assert weights / 1024 == pytest.approx(thousands, rel=0.02)
        if millions is not None:
            macs = sum(rows("googlenet_2014")[layer].macs for layer in layers)
            assert macs / 1e6 == pytest.approx(millions, rel=0.03 if millions == 1 else 0.02)

    @pytest.mark.parametrize(("layer", "macs"), ARITHMETIC.items())
    def test_multiply_adds_by_arithmetic(self, layer, macs):
        assert rows("googlenet_2014")[layer].macs == macs

    def test_the_reductions_save_most_of_it(self):
        reduced, naive = table("googlenet_2014"), table("googlenet_naive")
        assert naive.parameters / reduced.parameters == pytest.approx(13.9, abs=0.1)
        assert naive.macs / reduced.macs == pytest.approx(7.9, abs=0.1)


def weights_of(module: nn.Module) -> int:
    """Parameters without biases, as the paper counts them."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)


class TestResNet:
    @pytest.mark.parametrize(
        ("depth", "paper", "arithmetic"),
        [
            (18, 1.8, 1.814),
            (34, 3.6, 3.664),
            (50, 3.8, 3.858),
            (101, 7.6, 7.570),
            (152, 11.3, 11.282),
        ],
    )
    def test_multiply_adds(self, depth, paper, arithmetic):
        thousand_millions = table(f"resnet{depth}_2015").macs / 1e9
        assert thousand_millions == pytest.approx(paper, rel=0.02)
        assert thousand_millions == pytest.approx(arithmetic, abs=0.0006)

    @pytest.mark.parametrize(
        ("stage", "side"), [("layer1", 56), ("layer2", 28), ("layer3", 14), ("layer4", 7)]
    )
    @pytest.mark.parametrize("name", ["resnet18_2015", "resnet50_2015", "resnet50_v15", "plain34"])
    def test_every_stage_has_the_papers_size(self, name, stage, side):
        assert rows(name)[stage].output[2:] == (side, side)


class TestEfficientNet:
    @pytest.mark.parametrize(
        ("size", "paper"),
        [
            ("b0", 0.39),
            ("b1", 0.70),
            ("b2", 1.0),
            ("b3", 1.8),
            ("b4", 4.2),
            ("b5", 9.9),
            ("b6", 19),
            ("b7", 37),
        ],
    )
    def test_multiply_adds_at_the_papers_resolution(self, size, paper):
        macs = table(f"efficientnet_{size}_2019").macs
        assert macs / 1e9 == pytest.approx(paper, rel=0.08)


TORCHVISION = {
    # ours, or torchvision's own: multiply-adds in thousand millions as torchvision documents them
    "torchvision/alexnet": 0.714,
    "vgg_a": 7.609,
    "vgg_b": 11.308,
    "vgg_d": 15.470,
    "vgg_e": 19.632,
    "torchvision/googlenet": 1.498,
    "torchvision/inception_v3": 5.713,
    "resnet18_2015": 1.814,
    "resnet34_2015": 3.664,
    "resnet50_v15": 4.089,
    "resnet101_v15": 7.801,
    "resnet152_v15": 11.514,
    "torchvision/efficientnet_b0": 0.386,
    "torchvision/efficientnet_b2": 1.088,
    "efficientnet_b0_2019": 0.386,
    "efficientnet_b1_2019": 0.687,
    "efficientnet_b2_2019": 1.088,
    "efficientnet_b3_2019": 1.827,
    "efficientnet_b4_2019": 4.394,
    "efficientnet_b5_2019": 10.266,
    "efficientnet_b6_2019": 19.068,
    "efficientnet_b7_2019": 37.746,
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_multiply_adds_as_torchvision_documents_them(name):
    # torchvision takes B2 at 288 pixels, the paper at 260.
    size = 288 if name == "efficientnet_b2_2019" else None
    tolerance = 0.005 if "efficientnet" in name else 0.001
    assert table(name, size).macs / 1e9 == pytest.approx(TORCHVISION[name], rel=tolerance)
