"""The Inception module and what became of it: naive, v1, v2 and v3.

Each takes the same six widths, so what they cost can be compared; `googlenet.py` stacks them.

References: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015 (naive, v1); Ioffe and
Szegedy, "Batch Normalization", ICML 2015 (v2); Szegedy et al., "Rethinking the Inception
Architecture for Computer Vision", CVPR 2016 (v3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from budwood.networks.initialising import initialise_he


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
    """Maps that GoogLeNet's module of that name reads, and their side for photos of 224 pixels.

    Example:
        >>> entering("3a"), entering("5b")
        ((192, 28), (832, 7))
    """
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
    """The module as first thought of: 1x1, 3x3, 5x5 and pooling, each on all maps.

    Example:
        >>> NaiveInception(192, WIDTHS["3a"]).out_channels
        416
    """

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__(
            widths.ones + widths.threes + widths.fives + in_channels,
            convolution(in_channels, widths.ones, 1),
            convolution(in_channels, widths.threes, 3),
            convolution(in_channels, widths.fives, 5),
            _pooling(),
        )


class InceptionV1(_Inception):
    """The module of GoogLeNet: 1x1 convolutions reduce the maps before 3x3 and 5x5.

    Example:
        >>> InceptionV1(192, WIDTHS["3a"]).out_channels
        256
    """

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

    Example:
        >>> InceptionV2(192, WIDTHS["3a"]).out_channels
        256
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

    Example:
        >>> InceptionV3(768, Widths(192, 128, 192, 128, 192, 192)).out_channels
        768
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
