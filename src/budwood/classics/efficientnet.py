"""EfficientNet (2019): one small network, and a rule by which it grows.

The paper searched for a good small network, B0, and then asked how to spend more computation: on
width, on depth or on resolution? On all three in fixed proportion (`scaling.py`). The blocks are
MobileNetV2's inverted residuals: a 1x1 convolution widens, a depthwise one filters each channel by
itself, squeeze-and-excitation weighs the channels by what the whole photo shows, and a 1x1
convolution narrows again. Between narrow ends lies the shortcut. The activation is swish,
`x * sigmoid(x)`.

What differs from torchvision's networks of that name:

- TensorFlow's padding. For stride 2 it depends on the size of the photo and is larger at the
  bottom and on the right; torchvision pads alike on all sides, so its weights do not fit here.
- Batch normalisation adds 1e-3 to the variance, not 1e-5.

The structure and the names are those of timm's `tf_efficientnet_*`, whose published weights, the
authors' own, load here. EfficientNet-Lite (`scaling.LITE`) is the same without squeeze-and-
excitation, with ReLU6 for swish, and nothing in it is dropped in training.

References: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019; Sandler et al., "MobileNetV2", CVPR 2018; Hu et al., "Squeeze-and-Excitation Networks",
CVPR 2018; Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.
"""

from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from budwood.classics.scaling import TOP, BlockSize, ModelScale, end_width, stages

DROP_CONNECT = 0.2
"""How often the last block is skipped in training; the others less, in a line from 0."""

_Norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


class EfficientNet(nn.Module):
    """EfficientNet of any size: photos `n 3 h w` to logits `n k`."""

    def __init__(self, scale: ModelScale, num_classes: int = 1000) -> None:
        super().__init__()
        table = list(stages(scale))
        stem, last = table[0][0].in_channels, table[-1][-1].out_channels
        top = end_width(TOP, scale)
        self.pad = SamePadding(3, 2)
        self.conv_stem = nn.Conv2d(3, stem, 3, stride=2, bias=False)
        self.bn1 = _Norm(stem)
        self.blocks = _blocks(table)
        self.conv_head = nn.Conv2d(last, top, 1, bias=False)
        self.bn2 = _Norm(top)
        self.act = _activation(scale.lite)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(scale.dropout)
        self.classifier = nn.Linear(top, num_classes)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv_stem(self.pad(images))))
        x = self.blocks(x)
        x = self.act(self.bn2(self.conv_head(x)))
        x = torch.flatten(self.global_pool(x), 1)  # n c h w -> n c
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


class SamePadding(nn.Module):
    """TensorFlow's SAME padding: an output of `ceil(size / stride)`, whatever the input's size.

    Where the pixels to add are odd in number, the bottom and the right get one more.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        # No kernel here is smaller than its stride, so neither number is ever negative.
        down = self.kernel - 1 - (x.shape[-2] - 1) % self.stride
        across = self.kernel - 1 - (x.shape[-1] - 1) % self.stride
        return pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class SqueezeExcite(nn.Module):
    """Weighs each channel by a number between 0 and 1, computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.act1 = nn.SiLU(inplace=True)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)  # n c h w -> n c 1 1
        weights: Tensor = self.conv_expand(self.act1(self.conv_reduce(means)))
        return x * weights.sigmoid()


class DepthwiseSeparable(nn.Module):
    """The block without expansion, as the first stage has it."""

    def __init__(self, block: BlockSize, drop: float) -> None:
        super().__init__()
        self.pad, self.conv_dw = _depthwise(block)
        self.bn1 = _Norm(block.hidden)
        self.act = _activation(block.lite)
        self.se = nn.Identity() if block.lite else SqueezeExcite(block.hidden, block.squeezed)
        self.conv_pw = nn.Conv2d(block.hidden, block.out_channels, 1, bias=False)
        self.bn2 = _Norm(block.out_channels)
        self.drop = _shortcut(block, drop)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn1(self.conv_dw(self.pad(x))))
        out = self.bn2(self.conv_pw(self.se(out)))
        return out if self.drop is None else self.drop(out) + x


class InvertedResidual(nn.Module):
    """The block with expansion: wide inside, narrow at its ends."""

    def __init__(self, block: BlockSize, drop: float) -> None:
        super().__init__()
        self.conv_pw = nn.Conv2d(block.in_channels, block.hidden, 1, bias=False)
        self.bn1 = _Norm(block.hidden)
        self.pad, self.conv_dw = _depthwise(block)
        self.bn2 = _Norm(block.hidden)
        self.act = _activation(block.lite)
        self.se = nn.Identity() if block.lite else SqueezeExcite(block.hidden, block.squeezed)
        self.conv_pwl = nn.Conv2d(block.hidden, block.out_channels, 1, bias=False)
        self.bn3 = _Norm(block.out_channels)
        self.drop = _shortcut(block, drop)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.bn1(self.conv_pw(x)))
        out = self.act(self.bn2(self.conv_dw(self.pad(out))))
        out = self.bn3(self.conv_pwl(self.se(out)))
        return out if self.drop is None else self.drop(out) + x


class StochasticDepth(nn.Module):
    """In training, leaves whole photos of a batch out of what it is given, and scales the others so
    that the sum stays the same on average; in eval mode it changes nothing.

    torchvision has it too, but takes longer to import than PyTorch itself.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty([len(x)] + [1] * (x.dim() - 1)).bernoulli_(1 - self.p)
        return x * kept / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _activation(lite: bool) -> nn.Module:
    return nn.ReLU6(inplace=True) if lite else nn.SiLU(inplace=True)


def _blocks(table: list[tuple[BlockSize, ...]]) -> nn.Sequential:
    total = sum(map(len, table))
    drops = iter([DROP_CONNECT * number / total for number in range(total)])
    return nn.Sequential(
        *(nn.Sequential(*(_block(block, next(drops)) for block in stage)) for stage in table)
    )


def _block(block: BlockSize, drop: float) -> nn.Module:
    kind = DepthwiseSeparable if block.expansion == 1 else InvertedResidual
    return kind(block, drop)


def _depthwise(block: BlockSize) -> tuple[nn.Module, nn.Conv2d]:
    """The convolution of each channel by itself, and the padding before it.

    With stride 1 the padding is the same on all sides, and the convolution's own is faster.
    """
    channels, kernel, stride = block.hidden, block.kernel, block.stride
    own = kernel // 2 if stride == 1 else 0
    convolution = nn.Conv2d(channels, channels, kernel, stride, own, groups=channels, bias=False)
    return nn.Identity() if stride == 1 else SamePadding(kernel, stride), convolution


def _shortcut(block: BlockSize, drop: float) -> nn.Module | None:
    """What skips the block in training now and then; None where there is no shortcut."""
    if block.stride > 1 or block.in_channels != block.out_channels:
        return None
    return nn.Identity() if block.lite else StochasticDepth(drop)


def _initialise(network: nn.Module) -> None:
    """As the authors' code does it: by what leaves a layer, not by what enters it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            leaving = module.weight[:, 0].numel() // module.groups
            nn.init.normal_(module.weight, 0, sqrt(2 / leaving))
        elif isinstance(module, nn.Linear):
            bound = 1 / sqrt(module.out_features)
            nn.init.uniform_(module.weight, -bound, bound)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
