"""How EfficientNet grows: the baseline's table, the scaling rule and what was published.

A network can be made wider (more channels), deeper (more layers) or finer (larger photos). Each
alone soon stops paying; grown together, in fixed proportion, they pay for longer. One number `phi`
then stands for the size: depth `1.2 ** phi`, width `1.1 ** phi`, resolution `1.15 ** phi`. The cost
grows with depth and with the squares of width and resolution, and 1.2 * 1.1**2 * 1.15**2 is about
2: every step of phi doubles it.

All of this is arithmetic and needs no torch; `efficientnet.py` makes networks of it.

Reference: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
ICML 2019.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15
"""Growth of depth, width and resolution for each step of phi, found by a grid search on B0."""
LARGEST_PHI = 20.0
"""B7 is at about 7; a network of phi 20 has some 5,000 times its multiply-adds."""

STEM, TOP = 32, 1280
"""Channels of B0's first and last convolution."""


@dataclass(frozen=True)
class ModelScale:
    """A size of EfficientNet against B0."""

    width: float
    """Factor on the channels."""
    depth: float
    """Factor on the number of blocks in a stage."""
    resolution: int
    """Height and width of the photos in pixels."""
    dropout: float
    """Dropout before the classifier; larger networks get more."""
    lite: bool = False
    """The form for small devices: see `LITE`."""


PUBLISHED = {
    "b0": ModelScale(1.0, 1.0, 224, 0.2),
    "b1": ModelScale(1.0, 1.1, 240, 0.2),
    "b2": ModelScale(1.1, 1.2, 260, 0.3),
    "b3": ModelScale(1.2, 1.4, 300, 0.3),
    "b4": ModelScale(1.4, 1.8, 380, 0.4),
    "b5": ModelScale(1.6, 2.2, 456, 0.4),
    "b6": ModelScale(1.8, 2.6, 528, 0.5),
    "b7": ModelScale(2.0, 3.1, 600, 0.5),
    "b8": ModelScale(2.2, 3.6, 672, 0.5),
    "l2": ModelScale(4.3, 5.3, 800, 0.5),
}
"""The coefficients that were trained and published; not those that the rule gives (`phis`)."""

LITE = {
    "lite0": ModelScale(1.0, 1.0, 224, 0.0, lite=True),
    "lite1": ModelScale(1.0, 1.1, 240, 0.0, lite=True),
    "lite2": ModelScale(1.1, 1.2, 260, 0.0, lite=True),
}
"""EfficientNet-Lite, for devices that are slow at swish and at squeeze-and-excitation, and poor at
8-bit numbers with them: it has neither. The first and the last stage do not grow deeper, the first
and the last convolution not wider, so that the smaller sizes stay small."""


@dataclass(frozen=True)
class StageSize:
    """One row of the paper's table: blocks of the same kind, the first of which has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


BASELINE = (
    StageSize(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    StageSize(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    StageSize(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    StageSize(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    StageSize(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
    StageSize(blocks=4, kernel=5, stride=2, expansion=6, channels=192),
    StageSize(blocks=1, kernel=3, stride=1, expansion=6, channels=320),
)
"""EfficientNet-B0, found by a search that weighed accuracy against multiply-adds."""


@dataclass(frozen=True)
class BlockSize:
    """One inverted residual block: expand, filter each channel, weigh the channels, project."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    expansion: int
    lite: bool = False

    @property
    def hidden(self) -> int:
        """Channels between expansion and projection."""
        return self.in_channels * self.expansion

    @property
    def squeezed(self) -> int:
        """Channels in squeeze-and-excitation: a quarter of the block's input, not of `hidden`; 0
        without it."""
        return 0 if self.lite else max(1, int(self.in_channels * 0.25))

    @property
    def parameters(self) -> int:
        """Weights of the block, with scale and shift of batch normalisation."""
        hidden = self.hidden
        expand = (self.in_channels + 2) * hidden if self.expansion > 1 else 0
        squeeze = 0 if self.lite else 2 * hidden * self.squeezed + self.squeezed + hidden
        return expand + (self.kernel**2 + 2) * hidden + squeeze + (hidden + 2) * self.out_channels


def scale_by(phi: float) -> ModelScale:
    """The size that the rule gives for `phi`; 0 is B0.

    The resolution is the multiple of 8 nearest to `224 * 1.15 ** phi`, since the paper rounds, too,
    and does not say how. Dropout rises in a line from 0.2 at B0 to 0.5 at B7 (phi 7), and stays.
    """
    return ModelScale(
        width=BETA**phi,
        depth=ALPHA**phi,
        resolution=round(PUBLISHED["b0"].resolution * GAMMA**phi / 8) * 8,
        dropout=round(min(0.5, 0.2 + 0.3 * phi / 7), 3),
    )


def phis(scale: ModelScale) -> tuple[float, float, float]:
    """The `phi` that would give this width, this depth and this resolution.

    Where the rule was followed the three agree. In the published networks they do not.
    """
    resolution = scale.resolution / PUBLISHED["b0"].resolution
    grown = ((scale.width, BETA), (scale.depth, ALPHA), (resolution, GAMMA))
    width, depth, pixels = (math.log(factor) / math.log(rate) for factor, rate in grown)
    return width, depth, pixels


def phi_of(name: str) -> float | None:
    """The number in `efficientnet_phi(1.5)`; None for any other name, and beyond 20."""
    written = re.fullmatch(r"efficientnet_phi\(([0-9]{1,9}(?:\.[0-9]{1,9})?)\)", name)
    if written is None or (phi := float(written[1])) > LARGEST_PHI:
        return None
    return phi


def round_width(channels: int, width: float) -> int:
    """Channels times `width`, to the nearest multiple of 8; never more than a tenth below."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def end_width(channels: int, scale: ModelScale) -> int:
    """Channels of the first or the last convolution in a network of that size."""
    return channels if scale.lite else round_width(channels, scale.width)


def round_depth(blocks: int, depth: float) -> int:
    """Blocks times `depth`, rounded up."""
    return math.ceil(blocks * depth)


def stages(scale: ModelScale) -> Iterator[tuple[BlockSize, ...]]:
    """The blocks of every stage of a network of that size."""
    channels = end_width(STEM, scale)
    for number, stage in enumerate(BASELINE, start=1):
        out = round_width(stage.channels, scale.width)
        first = BlockSize(channels, out, stage.kernel, stage.stride, stage.expansion, scale.lite)
        other = BlockSize(out, out, stage.kernel, 1, stage.expansion, scale.lite)
        deepens = not (scale.lite and number in (1, len(BASELINE)))
        blocks = round_depth(stage.blocks, scale.depth) if deepens else stage.blocks
        yield (first, *[other] * (blocks - 1))
        channels = out


def count_parameters(scale: ModelScale, classes: int = 1000) -> int:
    """All weights of a network of that size, head included."""
    blocks = [block for stage in stages(scale) for block in stage]
    stem, top = blocks[0].in_channels, end_width(TOP, scale)
    head = (blocks[-1].out_channels + 2) * top + (top + 1) * classes
    return (3 * 3 * 3 + 2) * stem + sum(block.parameters for block in blocks) + head
