"""EfficientNet with TensorFlow's padding."""

import math

import pytest
import torch
from torch import nn

from budwood.classics.efficientnet import DROP_CONNECT, EfficientNet, SamePadding
from budwood.classics.scaling import PUBLISHED


@pytest.fixture(scope="module")
def b0() -> EfficientNet:
    torch.manual_seed(0)
    return EfficientNet(PUBLISHED["b0"], num_classes=4)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", range(1, 12))
def test_padding_gives_the_output_that_tensorflow_does(kernel, size):
    padded = SamePadding(kernel, 2)(torch.ones(1, 1, size, size + 1))
    outputs = [(side - kernel) // 2 + 1 for side in padded.shape[-2:]]
    assert outputs == [math.ceil(size / 2), math.ceil((size + 1) / 2)]
    before = int(padded[0, 0].any(1).int().argmax())
    after = padded.shape[-2] - size - before
    assert after - before in (0, 1)


def test_batch_normalisation_is_tensorflows(b0):
    norms = [module for module in b0.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_squeezing_follows_the_input_of_a_block(b0):
    reducing = [
        (block.conv_pw.in_channels, block.se.conv_reduce.out_channels)
        for stage in list(b0.blocks)[1:]
        for block in stage
    ]
    assert all(squeezed == channels // 4 for channels, squeezed in reducing)


def test_blocks_are_skipped_the_more_the_later_they_come(b0):
    rates = [getattr(block.drop, "p", None) for stage in b0.blocks for block in stage]
    expected = [DROP_CONNECT * number / 16 for number in range(16)]
    assert [rate for rate in rates if rate is not None] == [
        each for each, rate in zip(expected, rates, strict=True) if rate is not None
    ]
    assert sum(rate is not None for rate in rates) == 9


def test_photos_of_any_size_become_logits(b0):
    with torch.no_grad():
        assert b0.eval()(torch.randn(2, 3, 33, 46)).shape == (2, 4)


def test_convolutions_start_by_what_leaves_them(b0):
    depthwise = b0.blocks[5][0].conv_dw.weight
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.05)
    assert b0.conv_head.weight.std().item() == pytest.approx(math.sqrt(2 / 1280), rel=0.05)
    assert b0.classifier.weight.abs().max().item() == pytest.approx(0.5, rel=0.05)
