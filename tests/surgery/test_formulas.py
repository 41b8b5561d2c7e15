"""Formulas come to the numbers that torch comes to, whatever the settings."""

import math

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import AvgPool2dSame, Conv2dSame
from torch import nn

from budwood.classics.efficientnet import SamePadding
from budwood.inspection.formulas import parameters_formula, size_formula


def worth(formula):
    """Left and right side of an equation, as numbers."""
    left, right = formula.replace("×", "*").split(" = ")
    names = {"__builtins__": {}, "floor": math.floor, "ceil": math.ceil}
    return eval(left, names), int(right)


def sizes(formula):
    """Height and width that a size formula comes to; every equation in it must hold."""
    found = []
    for part in formula.split("; "):
        left, right = worth(part)
        assert left == right, part
        found.append(right)
    return found[0], found[-1]


def formula_of(layer, height, width, channels=4):
    """The size formula of a layer on maps of this size, and the size that torch gives."""
    before = torch.empty(1, channels, height, width, device="meta")
    after = layer.to("meta")(before)
    return size_formula(layer, tuple(before.shape), tuple(after.shape)), tuple(after.shape[-2:])


SIDES = st.integers(13, 40)  # as large as the largest dilated kernel
ONE_OR_TWO = st.integers(1, 3) | st.tuples(st.integers(1, 3), st.integers(1, 3))
KERNELS = st.integers(1, 5) | st.tuples(st.integers(1, 5), st.integers(1, 5))
PADDINGS = st.integers(0, 3) | st.tuples(st.integers(0, 3), st.integers(0, 3))
common = settings(deadline=None, max_examples=60)


@common
@given(SIDES, SIDES, KERNELS, ONE_OR_TWO, PADDINGS, ONE_OR_TWO)
def test_convolutions(height, width, kernel, stride, padding, dilation):
    layer = nn.Conv2d(4, 2, kernel, stride, padding, dilation, device="meta")
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@common
@given(SIDES, SIDES, KERNELS, ONE_OR_TWO, st.sampled_from(["same", "valid"]))
def test_convolutions_padded_by_a_word(height, width, kernel, dilation, padding):
    layer = nn.Conv2d(4, 2, kernel, padding=padding, dilation=dilation, device="meta")
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size


@common
@given(SIDES, SIDES, KERNELS, ONE_OR_TWO, st.integers(0, 2), st.booleans(), st.booleans())
def test_pooling(height, width, kernel, stride, padding, ceil_mode, is_max):
    padding = min(padding, min(kernel if isinstance(kernel, tuple) else (kernel,)) // 2)
    kind = nn.MaxPool2d if is_max else nn.AvgPool2d
    layer = kind(kernel, stride, padding, ceil_mode=ceil_mode)
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size


@common
@given(SIDES, SIDES, KERNELS, st.integers(2, 3), st.integers(0, 1), st.integers(0, 1))
def test_transposed_convolutions(height, width, kernel, stride, padding, more):
    layer = nn.ConvTranspose2d(4, 2, kernel, stride, padding, more, device="meta")
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size


@common
@given(SIDES, SIDES, st.sampled_from([Conv2dSame, AvgPool2dSame]), KERNELS, st.integers(1, 3))
def test_layers_that_pad_in_their_own_code(height, width, kind, kernel, stride):
    layer = kind(4, 2, kernel, stride) if kind is Conv2dSame else kind(kernel, stride)
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size == (math.ceil(height / stride), math.ceil(width / stride))


@pytest.mark.parametrize(
    ("layer", "height", "width"),
    [
        (nn.ZeroPad2d((1, 2, 3, 4)), 20, 20),
        (nn.ReflectionPad2d(3), 20, 30),
        (nn.ReplicationPad2d((1, 0, 0, 1)), 9, 9),
        (nn.ZeroPad2d(-1), 9, 9),
        (nn.Upsample(scale_factor=2), 7, 9),
        (nn.Upsample(scale_factor=(1.5, 2.25)), 7, 9),
        (nn.PixelShuffle(2), 7, 9),
        (SamePadding(3, 2), 224, 225),
        (SamePadding(5, 2), 13, 14),
    ],
)
def test_layers_that_change_the_size_otherwise(layer, height, width):
    formula, size = formula_of(layer, height, width)
    assert sizes(formula) == size


BY_HAND = [
    (nn.Conv2d(3, 96, 11, stride=4), 227, "(227-11)/4+1 = 55"),
    (nn.Conv2d(96, 256, 5, padding=2), 27, "(27-5+2×2)/1+1 = 27"),
    (nn.Conv2d(3, 64, 7, stride=2, padding=3), 224, "floor((224-7+2×3)/2)+1 = 112"),
    (nn.Conv2d(3, 8, 3, padding=2, dilation=2), 14, "(14-(2×(3-1)+1)+2×2)/1+1 = 14"),
    (nn.Conv2d(3, 8, 4, padding="same"), 14, "(14-4+1+2)/1+1 = 14"),
    (nn.Conv2d(3, 8, (1, 7)), 14, "(14-1)/1+1 = 14; (14-7)/1+1 = 8"),
    (nn.MaxPool2d(3, stride=2), 55, "(55-3)/2+1 = 27"),
    (nn.MaxPool2d(3, stride=2, ceil_mode=True), 112, "ceil((112-3)/2)+1 = 56"),
    (nn.MaxPool2d(1, stride=3, ceil_mode=True), 6, "floor((6-1)/3)+1 = 2"),
    (nn.MaxPool2d([3, 3], [2, 2], [1, 1]), 14, "floor((14-3+2×1)/2)+1 = 7"),
    (nn.AvgPool2d(2), 28, "(28-2)/2+1 = 14"),
    (nn.AdaptiveAvgPool2d((7, 7)), 9, "any size to 7"),
    (nn.AdaptiveMaxPool2d((7, None)), 9, "any size to 7; 9 = 9"),
    (nn.Upsample(size=14), 7, "any size to 14"),
    (nn.ConvTranspose2d(3, 8, 3, 2, 1, 1), 7, "(7-1)×2-2×1+3+1 = 14"),
    (Conv2dSame(3, 8, 3, stride=2), 224, "224/2 = 112"),
    (nn.Flatten(2), 6, "6×6 = 36"),
    (nn.ReLU(), 6, None),
]


@pytest.mark.parametrize(("layer", "side", "formula"), BY_HAND)
def test_sizes_as_the_books_write_them(layer, side, formula):
    channels = getattr(layer, "in_channels", 3)
    assert formula_of(layer, side, side, channels)[0] == formula


def test_flattening_names_the_channels_last():
    assert size_formula(nn.Flatten(), (2, 256, 6, 5), (2, 7680)) == "6×5×256 = 7680"
    assert size_formula(nn.Flatten(), (2, 9), (2, 9)) is None


def test_no_formula_is_given_that_does_not_hold():
    class Taller(nn.Conv2d):
        """Its code gives twice the rows that its settings promise."""

    assert size_formula(Taller(3, 8, 3), (1, 3, 9, 9), (1, 8, 14, 7)) is None
    assert size_formula(nn.Conv2d(3, 8, 3), None, None) is None
    assert size_formula(nn.Conv2d(3, 8, 3), (1, 3, 9, 9), (1, 8)) is None


@common
@given(st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3), KERNELS, st.booleans())
def test_parameters_of_convolutions(groups, into, out, kernel, bias):
    for kind in (nn.Conv2d, nn.ConvTranspose2d):
        layer = kind(groups * into, groups * out, kernel, groups=groups, bias=bias, device="meta")
        counted = sum(parameter.numel() for parameter in layer.parameters())
        assert worth(parameters_formula(layer)) == (counted, counted)


@pytest.mark.parametrize(
    ("layer", "formula"),
    [
        (nn.Conv2d(96, 256, 5), "256×96×5×5+256 = 614656"),
        (nn.Conv2d(96, 256, 5, groups=2), "256×(96/2)×5×5+256 = 307456"),
        (nn.Conv2d(32, 32, 3, groups=32, bias=False), "32×(32/32)×3×3 = 288"),
        (nn.Linear(9216, 4096, device="meta"), "9216×4096+4096 = 37752832"),
        (nn.BatchNorm2d(64), "64+64 = 128"),
        (nn.PReLU(), "1 = 1"),
        (nn.ReLU(), None),
        (nn.Sequential(nn.Linear(2, 2)), None),
    ],
)
def test_parameters_as_the_books_write_them(layer, formula):
    assert parameters_formula(layer) == formula


def test_only_the_parameters_that_count_are_in_the_formula():
    layer = nn.Linear(4, 3)
    assert parameters_formula(layer, [layer.bias]) == "3 = 3"
    assert parameters_formula(layer, []) is None


def test_parameters_of_attention_with_tensors_of_its_own():
    layer = timm.create_model("vit_tiny_patch16_224", device="meta")
    assert worth(parameters_formula(layer)) == (192 + 197 * 192,) * 2
