"""Layers in words."""

import pytest
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import nn
from torchvision.ops import StochasticDepth

from budwood.classics.efficientnet import SamePadding
from budwood.inspection.summarizing import operation


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(3, 96, 11, stride=4), "11x11 convolution, 96 channels, stride 4"),
        (
            nn.Conv2d(8, 16, (1, 7), stride=(1, 2), padding=(0, 3)),
            "1x7 convolution, 16 channels, stride 1x2, padding 0x3",
        ),
        (
            nn.Conv2d(8, 16, 3, padding="same", dilation=2, groups=4),
            "3x3 convolution, 16 channels, stride 1, padding same, dilation 2, 4 groups",
        ),
        (
            nn.Conv2d(8, 8, 5, padding="valid", groups=8),
            "5x5 depthwise convolution, 8 channels, stride 1",
        ),
        (nn.Conv2d(1, 8, 5), "5x5 convolution, 8 channels, stride 1"),
        (Conv2dSame(3, 8, 3, stride=2), "3x3 convolution, 8 channels, stride 2"),
        (nn.ConvTranspose2d(8, 4, 2, 2), "2x2 transposed convolution, 4 channels, stride 2"),
        (nn.MaxPool2d(3, stride=2, padding=1), "3x3 max pooling, stride 2, padding 1"),
        (nn.MaxPool2d((3, 1), dilation=2), "3x1 max pooling, stride 3x1, dilation 2"),
        (nn.MaxPool2d([3, 3], [2, 2], [1, 1]), "3x3 max pooling, stride 2, padding 1"),
        (nn.AvgPool2d(2), "2x2 average pooling, stride 2"),
        (nn.AdaptiveAvgPool2d(1), "adaptive average pooling to 1x1"),
        (nn.AdaptiveMaxPool2d((7, None)), "adaptive max pooling to 7xany"),
        (nn.Linear(2, 2), "linear"),
        (nn.Flatten(), "flatten"),
        (nn.LocalResponseNorm(5), "local response normalisation"),
        (nn.BatchNorm2d(2), "batch normalisation"),
        (BatchNormAct2d(2), "batch normalisation"),
        (nn.LayerNorm(2), "layer normalisation"),
        (nn.GroupNorm(2, 4), "group normalisation, 2 groups"),
        (nn.Dropout(0.4), "dropout, probability 0.4"),
        (nn.LeakyReLU(), "leaky ReLU, slope 0.01"),
        (nn.MultiheadAttention(8, 2), "attention, 2 heads"),
        (nn.Upsample(scale_factor=2), "upsampling, nearest"),
        (SamePadding(3, 2), "padding for stride 2"),
        (nn.ReLU(), "ReLU"),
        (nn.Sigmoid(), "sigmoid"),
        (StochasticDepth(0.1, "row"), "StochasticDepth"),
    ],
)
def test_layers_in_words(layer, words):
    assert operation(layer) == words
