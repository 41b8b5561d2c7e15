"""Letters are never wider than said, in the widest font that may be used."""

from pathlib import Path

import pytest
from PIL import ImageFont

from budwood.drawing.pieces import shortened, width_of

TEXTS = [
    "conv 7x7, 64, /2",
    "depthwise 5x5, 1152, /2",
    "features.denseblock4.denselayer16",
    "BN, ReLU, stochastic depth, dropout 0.5",
    "512 x 14 x 14 to 100352",
    "WWWMMMMmmm@@@ 0123456789",
    "iiillll...,,,;;;|||!!!",
    "EfficientNet, SqueezeExcitation, MultiheadAttention",
    "layer3.1 ... 35 (Bottleneck) [x] {y} <z> + - * / = _ % & #",
    "é ü ö ß … ×",
]


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_widths_are_upper_bounds_but_not_by_much(text, bold):
    matplotlib = pytest.importorskip("matplotlib")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(fonts / f"DejaVuSans{'-Bold' if bold else ''}.ttf", 1000)
    true = font.getlength(text) / 1000
    assert true <= width_of(text, 1, bold) <= 1.5 * true + 0.5


def test_chinese_letters_are_square():
    assert width_of("卷积神经网络", 10) >= 60


def test_a_text_that_fits_stays_as_it_is():
    assert shortened("conv", 100, 11) == "conv"


def test_a_text_that_does_not_fit_is_cut():
    text = shortened("a rather long description", 80, 11, bold=True)
    assert text.endswith("…")
    assert width_of(text, 11, bold=True) <= 80
    assert shortened("anything", 1, 11) == "…"
