"""GoogLeNet (2014): 22 layers at a ninth of AlexNet's parameters, by Inception modules.

Which kernel is right for a layer, 1x1, 3x3 or 5x5? A module has all of them side by side, and a
pooling, and joins what they give. Done naively (`NaiveInception`) that explodes: the 5x5 kernels
read every map, and pooling adds all of its own, so each module is wider than the last. The remedy
is what the paper is known for: a 1x1 convolution first, that reduces many maps to a few
(`InceptionV1`). Two auxiliary classifiers, half-way up, bring the gradient to the lower layers in
training; their losses count 0.3 each, and they are left out of the finished network.

- `googlenet_2014`: the paper's network, with 5x5 kernels, local response normalisation and no
  batch normalisation, which came a year later. torchvision's `googlenet` has batch normalisation
  and, by a slip of TensorFlow's that was kept, 3x3 kernels for the 5x5: its weights do not fit.
- `googlenet_naive`: the same with naive modules, to see what the 1x1 convolutions save.

What became of the module is here, too (`InceptionV2`, `InceptionV3`). Each takes the same six
widths, so what they cost can be compared.

References: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015 (naive, v1; its table of
parameters has misprints, and it counts a twelfth of AlexNet's); Ioffe and Szegedy, "Batch
Normalization", ICML 2015 (v2); Szegedy et al., "Rethinking the Inception Architecture for Computer
Vision", CVPR 2016 (v3).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from budwood.classics.alexnet import response_norm
from budwood.classics.vgg import initialise_he


@dataclass(frozen=True)
class Widths:
    """Maps of each convolution in an Inception module, in the order of the paper's table."""

    ones: int
    """1x1."""
    threes_reduced: int
    """1x1 before the 3x3."""
    threes: int
    """3x3."""
    fives_reduced: int
    """1x1 before the 5x5."""
    fives: int
    """5x5."""
    pooled: int
    """1x1 behind the pooling."""

    @property
    def joined(self) -> int:
        """Maps that the module gives, in every version but the naive."""
        return self.ones + self.threes + self.fives + self.pooled


WIDTHS = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}
"""Table 1 of the paper, by the name of the module."""


def entering(position: str) -> tuple[int, int]:
    """Maps that GoogLeNet's module of that name reads, and their side for photos of 224 pixels."""
    names = list(WIDTHS)
    before = names[: names.index(position)]
    sides = {"3": 28, "4": 14, "5": 7}
    return (WIDTHS[before[-1]].joined if before else 192), sides[position[0]]


class _Inception(nn.Module):
    """Branches side by side, whose maps are joined: `n c h w` to `n out_channels h w`."""

    def __init__(self, out_channels: int, *branches: nn.Module) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.branch1, self.branch2, self.branch3, self.branch4 = branches
        initialise_he(self)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class NaiveInception(_Inception):
    """The module as first thought of: 1x1, 3x3, 5x5 and pooling, each on all maps."""

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__(
            widths.ones + widths.threes + widths.fives + in_channels,
            convolution(in_channels, widths.ones, 1),
            convolution(in_channels, widths.threes, 3),
            convolution(in_channels, widths.fives, 5),
            _pooling(),
        )


class InceptionV1(_Inception):
    """The module of GoogLeNet: 1x1 convolutions reduce the maps before 3x3 and 5x5."""

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__(
            widths.joined,
            convolution(in_channels, widths.ones, 1),
            nn.Sequential(
                convolution(in_channels, widths.threes_reduced, 1),
                convolution(widths.threes_reduced, widths.threes, 3),
            ),
            nn.Sequential(
                convolution(in_channels, widths.fives_reduced, 1),
                convolution(widths.fives_reduced, widths.fives, 5),
            ),
            nn.Sequential(_pooling(), convolution(in_channels, widths.pooled, 1)),
        )


class InceptionV2(_Inception):
    """The module with two 3x3 for the 5x5, and batch normalisation.

    Two 3x3 see the same 5x5 pixels with 18 weights for 25, and with a ReLU between them.
    """

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__(
            widths.joined,
            _normalised(in_channels, widths.ones, 1),
            nn.Sequential(
                _normalised(in_channels, widths.threes_reduced, 1),
                _normalised(widths.threes_reduced, widths.threes, 3),
            ),
            nn.Sequential(
                _normalised(in_channels, widths.fives_reduced, 1),
                _normalised(widths.fives_reduced, widths.fives, 3),
                _normalised(widths.fives, widths.fives, 3),
            ),
            nn.Sequential(_pooling(), _normalised(in_channels, widths.pooled, 1)),
        )


class InceptionV3(_Inception):
    """The module with n x n split into 1 x n and n x 1, for maps of middling size.

    A 1x7 and a 7x1 see 7x7 pixels with 14 weights for 49. `threes` and `fives` are the widths of
    the branches with one and with two such pairs.
    """

    def __init__(self, in_channels: int, widths: Widths, n: int = 7) -> None:
        once, twice = widths.threes_reduced, widths.fives_reduced
        super().__init__(
            widths.joined,
            _normalised(in_channels, widths.ones, 1),
            nn.Sequential(
                _normalised(in_channels, once, 1),
                _normalised(once, once, (1, n)),
                _normalised(once, widths.threes, (n, 1)),
            ),
            nn.Sequential(
                _normalised(in_channels, twice, 1),
                _normalised(twice, twice, (n, 1)),
                _normalised(twice, twice, (1, n)),
                _normalised(twice, twice, (n, 1)),
                _normalised(twice, widths.fives, (1, n)),
            ),
            nn.Sequential(_pooling(), _normalised(in_channels, widths.pooled, 1)),
        )


def convolution(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for the stride), and a ReLU."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, padding), nn.ReLU(inplace=True)
    )


def _pooling() -> nn.Module:
    return nn.MaxPool2d(3, stride=1, padding=1)


def _normalised(in_channels: int, channels: int, kernel: int | tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, padding="same", bias=False),
        nn.BatchNorm2d(channels, eps=1e-3),
        nn.ReLU(inplace=True),
    )


class GoogLeNetOutputs(NamedTuple):
    """Logits `n k` of the network and of its auxiliary heads, named as torchvision names them."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


class GoogLeNet(nn.Module):
    """Three convolutions and nine modules of one kind: photos `n 3 h w` to logits `n k`.

    In train mode with auxiliary heads the result is `GoogLeNetOutputs`: logits, and those of the
    second and the first auxiliary head.
    """

    def __init__(
        self,
        inception: type[InceptionV1] | type[NaiveInception],
        num_classes: int = 1000,
        aux_heads: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = convolution(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.norm1 = response_norm()
        self.conv2 = convolution(64, 64, 1)
        self.conv3 = convolution(64, 192, 3)
        self.norm2 = response_norm()
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = inception(192, WIDTHS["3a"])
        self.inception3b = inception(self.inception3a.out_channels, WIDTHS["3b"])
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = inception(self.inception3b.out_channels, WIDTHS["4a"])
        self.inception4b = inception(self.inception4a.out_channels, WIDTHS["4b"])
        self.inception4c = inception(self.inception4b.out_channels, WIDTHS["4c"])
        self.inception4d = inception(self.inception4c.out_channels, WIDTHS["4d"])
        self.inception4e = inception(self.inception4d.out_channels, WIDTHS["4e"])
        self.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception5a = inception(self.inception4e.out_channels, WIDTHS["5a"])
        self.inception5b = inception(self.inception5a.out_channels, WIDTHS["5b"])
        self.aux1 = AuxiliaryHead(self.inception4a.out_channels, num_classes) if aux_heads else None
        self.aux2 = AuxiliaryHead(self.inception4d.out_channels, num_classes) if aux_heads else None
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        initialise_he(self)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetOutputs:
        x = self.norm1(self.maxpool1(self.conv1(images)))  # n 64 56 56
        x = self.maxpool2(self.norm2(self.conv3(self.conv2(x))))  # n 192 28 28
        x = self.inception3b(self.inception3a(x))
        x = self.inception4a(self.maxpool3(x))  # n 512 14 14
        aux1 = self.aux1(x) if self.training and self.aux1 is not None else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if self.training and self.aux2 is not None else None
        x = self.maxpool4(self.inception4e(x))  # n 832 7 7
        x = self.inception5b(self.inception5a(x))
        x = torch.flatten(self.avgpool(x), 1)  # n 1024 7 7 -> n 1024
        logits: Tensor = self.fc(self.dropout(x))
        return logits if aux1 is None or aux2 is None else GoogLeNetOutputs(logits, aux2, aux1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps of a module half-way up, for training only."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        # The second changes nothing at 224 pixels; photos of other sizes fit `fc1` by it.
        self.pool = nn.Sequential(nn.AvgPool2d(5, stride=3), nn.AdaptiveAvgPool2d((4, 4)))
        self.conv = convolution(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(self.conv(self.pool(x)), 1)  # n c 14 14 -> n 128 4 4 -> n 2048
        logits: Tensor = self.fc2(self.dropout(self.relu(self.fc1(x))))
        return logits


def googlenet_2014(num_classes: int = 1000, aux_heads: bool = False) -> GoogLeNet:
    """The paper's network; 6,998,552 parameters without the auxiliary heads."""
    return GoogLeNet(InceptionV1, num_classes, aux_heads)


def googlenet_naive(num_classes: int = 1000) -> GoogLeNet:
    """The same with naive modules, whose maps add up from one to the next."""
    return GoogLeNet(NaiveInception, num_classes)
