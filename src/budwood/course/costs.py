"""What two ideas of the classic networks save or cost: 1x1 reductions, and compound scaling."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from budwood.classics.efficientnet import EfficientNet
from budwood.classics.googlenet import WIDTHS, InceptionV1, NaiveInception, entering
from budwood.classics.scaling import LARGEST_PHI, PUBLISHED, phis, scale_by
from budwood.errors import ConfigError
from budwood.inspection.summarizing import summarize
from budwood.text import aligned


@dataclass(frozen=True)
class Cost:
    """What one variant of a network or module costs."""

    variant: str
    parameters: int
    macs: int
    """Multiply-adds of convolutions and linear layers for one photo."""


@dataclass(frozen=True)
class Costs:
    """Variants side by side; printed, a table with each against the first."""

    rows: tuple[Cost, ...]

    def __str__(self) -> str:
        head = ("variant", "parameters", "", "multiply-adds", "")
        return aligned([head, *(self._cells(row) for row in self.rows)])

    def _cells(self, row: Cost) -> tuple[str, ...]:
        first = self.rows[0]
        return (
            row.variant,
            f"{row.parameters:,}",
            f"x {row.parameters / first.parameters:.2f}",
            f"{row.macs:,}",
            f"x {row.macs / first.macs:.2f}",
        )


def inception_costs(position: str = "3a") -> Costs:
    """What the 1x1 reductions save at one position of GoogLeNet: the naive module and v1's.

    Both have the same 1x1, 3x3 and 5x5 widths and read the same maps. The naive one gives more
    (its pooling passes on all maps), which makes the next one dearer still: see `googlenet_naive`
    for the whole.

    Args:
        position: A key of `WIDTHS`: 3a, 3b, 4a ... 4e, 5a, 5b.

    Raises:
        ConfigError: If there is no such position.

    Example:
        >>> print(inception_costs("3a"))
        variant  parameters          multiply-adds
        naive       387,296  x 1.00    303,464,448  x 1.00
        v1          163,696  x 0.42    128,049,152  x 0.42
    """
    if position not in WIDTHS:
        raise ConfigError(
            f"GoogLeNet has no module {position!r}.", expected=f"There are {', '.join(WIDTHS)}."
        )
    channels, side = entering(position)
    widths = WIDTHS[position]
    with torch.device("meta"):
        modules = {"naive": NaiveInception(channels, widths), "v1": InceptionV1(channels, widths)}
    summaries = {name: summarize(each, (channels, side, side)) for name, each in modules.items()}
    return Costs(tuple(Cost(name, s.parameters, s.macs) for name, s in summaries.items()))


def scaling_costs(phi: float) -> Costs:
    """What it costs to make EfficientNet-B0 wider, deeper, finer, and all three, by one `phi`.

    Raises:
        ConfigError: If `phi` is not from 0 to 20.

    Example:
        >>> print(scaling_costs(1))
        variant         parameters          multiply-adds
        B0               5,288,548  x 1.00    385,814,752  x 1.00
        width x 1.10     6,117,956  x 1.16    443,010,960  x 1.15
        depth x 1.20     7,794,184  x 1.47    569,651,680  x 1.48
        resolution 256   5,288,548  x 1.00    503,337,472  x 1.30
        all three        9,109,994  x 1.72    859,853,760  x 2.23
    """
    if not 0 <= phi <= LARGEST_PHI:
        raise ConfigError(f"phi is {phi}.", expected=f"It must be from 0 to {LARGEST_PHI:g}.")
    small, large = PUBLISHED["b0"], scale_by(phi)
    scales = {
        "B0": small,
        f"width x {large.width:.2f}": replace(small, width=large.width),
        f"depth x {large.depth:.2f}": replace(small, depth=large.depth),
        f"resolution {large.resolution}": replace(small, resolution=large.resolution),
        "all three": large,
    }
    rows = []
    for name, scale in scales.items():
        with torch.device("meta"):
            network = EfficientNet(scale)
        summary = summarize(network, (3, scale.resolution, scale.resolution))
        rows.append(Cost(name, summary.parameters, summary.macs))
    return Costs(tuple(rows))


def table_of_phis() -> str:
    """A table of the `phi` by which each published EfficientNet is wider, deeper and finer than B0.

    Where the rule was followed a row has the same number three times.

    Example:
        >>> print(table_of_phis())
        network  width   phi  depth  phi  resolution  phi
        B0         1.0   0.0    1.0  0.0         224  0.0
        B1         1.0   0.0    1.1  0.5         240  0.5
        B2         1.1   1.0    1.2  1.0         260  1.1
        B3         1.2   1.9    1.4  1.8         300  2.1
        B4         1.4   3.5    1.8  3.2         380  3.8
        B5         1.6   4.9    2.2  4.3         456  5.1
        B6         1.8   6.2    2.6  5.2         528  6.1
        B7         2.0   7.3    3.1  6.2         600  7.0
        B8         2.2   8.3    3.6  7.0         672  7.9
        L2         4.3  15.3    5.3  9.1         800  9.1
    """
    head = ("network", "width", "phi", "depth", "phi", "resolution", "phi")
    return aligned([head, *_published_rows()])


def _published_rows() -> Iterator[tuple[str, ...]]:
    for name, scale in PUBLISHED.items():
        factors = (f"{scale.width}", f"{scale.depth}", f"{scale.resolution}")
        pairs = zip(factors, phis(scale), strict=True)
        yield (name.upper(), *(cell for factor, phi in pairs for cell in (factor, f"{phi:.1f}")))
