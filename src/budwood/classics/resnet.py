"""ResNet (2015): layers that learn what to add to their input, and 152 of them.

Deeper plain networks became worse, on the training photos too: so it was not overfitting, they
were harder to optimise. But a deeper network could always do as well as a shallower one, if its
added layers only passed their input on. The paper makes that easy: a block's output is its input
plus what its layers compute, so to pass it on they need only compute nothing. The shortcut has no
parameters, except where size and width change: there a 1x1 convolution projects (option B).
From 50 layers on a block is a bottleneck: 1x1 to a quarter of the width, 3x3, 1x1 back.

- `resnet18_2015` ... `resnet152_2015`: the paper's networks.
- `resnet50_v15`, `resnet101_v15`, `resnet152_v15`: torchvision's. Where a bottleneck halves the
  size, the paper does it in the first 1x1, which then sees a quarter of the pixels; these do it in
  the 3x3, which sees all of them, at 6 % more multiply-adds for 50 layers. The tensors are the
  same and the function is not, so torchvision's weights load here and not into `resnet50_2015`.
  With 18 and 34 layers there is no such difference.
- `plain18` ... `plain152`: the same layers without shortcuts, to see the degradation.
- `resnet20_cifar`, `resnet56_cifar`, `plain20_cifar`, `plain56_cifar`: the paper's small networks
  for photos of 32 x 32, where the degradation can be seen in an afternoon. Their shortcuts take
  every second pixel and fill up with maps of zeros (option A), so they have no parameters at all.

References: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016
(arXiv 1512.03385, 2015); Goyal et al., "Accurate, Large Minibatch SGD", 2017, for the v1.5 stride.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from budwood.classics.vgg import initialise_he

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Table 1 of the paper: blocks in each of four stages, by the number of weighted layers."""


class ResNet(nn.Module):
    """A convolution, stages of blocks, a linear layer: photos `n 3 h w` to logits `n k`."""

    def __init__(
        self,
        conv1: nn.Conv2d,
        maxpool: nn.Module,
        stages: Sequence[nn.Module],
        width: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.conv1 = conv1
        self.bn1 = nn.BatchNorm2d(conv1.out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = maxpool
        self._stages = [f"layer{number}" for number in range(1, len(stages) + 1)]
        for name, stage in zip(self._stages, stages, strict=True):
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width, num_classes)
        initialise_he(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for name in self._stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and the input added to their result."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out = out + self.downsample(x)
        rectified: Tensor = self.relu(out)
        return rectified


class Bottleneck(nn.Module):
    """1x1 to a quarter of the width, 3x3 there, 1x1 back, and the input added to the result."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        strides: tuple[int, int],
        shortcut: nn.Module | None,
    ) -> None:
        super().__init__()
        inner, (first, second) = channels // 4, strides
        self.conv1 = nn.Conv2d(in_channels, inner, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            out = out + self.downsample(x)
        rectified: Tensor = self.relu(out)
        return rectified


class Subsample(nn.Module):
    """Shortcut of option A: every `stride`-th pixel, and zeros for the maps that are new."""

    def __init__(self, stride: int, new_maps: int) -> None:
        super().__init__()
        self.stride, self.new_maps = stride, new_maps

    def forward(self, x: Tensor) -> Tensor:
        # A window of one pixel: only the stride is at work.
        return pad(max_pool2d(x, 1, self.stride), (0, 0, 0, 0, 0, self.new_maps))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_maps={self.new_maps}"


def resnet(
    depth: int, num_classes: int = 1000, *, shortcuts: bool = True, v15: bool = False
) -> ResNet:
    """The ImageNet network with 18, 34, 50, 101 or 152 layers, as the paper has it.

    Without `shortcuts` it is the plain network. `v15` halves the size in the 3x3 convolution of a
    bottleneck, as torchvision does.
    """

    def block(channels: int, width: int, stride: int) -> nn.Module:
        way = _shortcut("B", channels, width, stride) if shortcuts else None
        if depth >= 50:
            return Bottleneck(channels, width, (1, stride) if v15 else (stride, 1), way)
        return BasicBlock(channels, width, stride, way)

    widths = [64 * 2**number * (4 if depth >= 50 else 1) for number in range(4)]
    stages = _stages(64, widths, BLOCKS[depth], block)
    conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    maxpool = nn.MaxPool2d(3, stride=2, padding=1)
    return ResNet(conv1, maxpool, stages, widths[-1], num_classes)


def resnet_cifar(depth: int, num_classes: int = 10, *, shortcuts: bool = True) -> ResNet:
    """The network of the paper's section 4.2 with that many layers, for photos of 32 x 32.

    Three stages of 16, 32 and 64 maps, each of `(depth - 2) / 6` blocks.
    """

    def block(channels: int, width: int, stride: int) -> nn.Module:
        way = _shortcut("A", channels, width, stride) if shortcuts else None
        return BasicBlock(channels, width, stride, way)

    stages = _stages(16, (16, 32, 64), [(depth - 2) // 6] * 3, block)
    conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    return ResNet(conv1, nn.Identity(), stages, 64, num_classes)


def _stages(
    channels: int,
    widths: Sequence[int],
    blocks: Sequence[int],
    block: Callable[[int, int, int], nn.Module],
) -> list[nn.Module]:
    """Blocks of each width; the first of each stage but the first halves the size."""
    stages: list[nn.Module] = []
    for width, number in zip(widths, blocks, strict=True):
        stage = [block(channels, width, 2 if stages else 1)]
        stage += [block(width, width, 1) for _ in range(number - 1)]
        stages.append(nn.Sequential(*stage))
        channels = width
    return stages


def _shortcut(option: str, in_channels: int, channels: int, stride: int) -> nn.Module:
    """The input itself; where the shape changes, a part of it (A) or its 1x1 convolution (B)."""
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    if option == "A":
        return Subsample(stride, channels - in_channels)
    convolution = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))
