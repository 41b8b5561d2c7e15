"""The principal axes of features, along which a logistic regression is nearly round."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from budwood.learning.blocks import Blocks, FeatureRows
from budwood.threads import one_torch_thread

SAMPLED = 16
"""Rows for each feature from which the axes are found; more would not turn them visibly."""


@dataclass(frozen=True)
class Axes:
    """Columns that are multiplied with blocks of rows, and the axes in which they are sought.

    With fewer rows than features, the columns lie in the span of the rows: nothing is lost where
    the rows are replaced by their coordinates in it.
    """

    blocks: Blocks
    """Rows `n m`: features, or coordinates in the span of the rows."""
    directions: Tensor | None
    """`m m`, the axes; None if they are those of the coordinates."""
    curvature: Tensor
    """`m`, the sum of squares along each axis."""
    span: Tensor | None = None
    """`d m`, the span of the rows; None for features."""

    def to(self, dtype: torch.dtype) -> "Axes":
        """The same for columns of this type; the rows are given in any."""
        directions = None if self.directions is None else self.directions.to(dtype)
        return replace(self, directions=directions, curvature=self.curvature.to(dtype))

    def columns(self, along: Tensor) -> Tensor:
        """From weights along the axes to columns, `... m`."""
        return along if self.directions is None else along @ self.directions.T

    def along(self, columns: Tensor) -> Tensor:
        """From slopes of columns to slopes along the axes, `... m`."""
        return columns if self.directions is None else columns @ self.directions

    def weights(self, columns: Tensor) -> Tensor:
        """From columns to weights of the standardised features, `... d`."""
        return columns if self.span is None else columns @ self.span.T


def axes_of(blocks: Blocks) -> Axes:
    """The axes of standardised features.

    They only set the pace at which the optimum is reached, not where it is. So float32 and, where
    there are very many rows, evenly spread ones of them will do.
    """
    n, d = len(blocks), blocks.width
    if n < d:
        return _axes_in_span(blocks)
    step = max(1, n // (SAMPLED * d))
    positions = range(0, n, step)
    products = torch.zeros(d, d)
    for start in range(0, len(positions), blocks.size):
        rows = blocks.at(positions[start : start + blocks.size], torch.float32)
        products.addmm_(rows.T, rows)
    values, directions = _eigenvectors(products)
    return Axes(blocks, directions, values.clamp(min=0) * (n / len(positions)))


def _axes_in_span(blocks: Blocks) -> Axes:
    z = blocks.at(range(len(blocks)), torch.float64)
    values, left = _eigenvectors(z @ z.T)
    keep = values > values[-1] * 1e-12
    values, left = values[keep], left[:, keep]
    lengths = values.sqrt()
    flat, one = torch.zeros_like(lengths), torch.ones_like(lengths)
    coordinates = Blocks(FeatureRows(left * lengths), flat, one, blocks.size)
    return Axes(coordinates, None, values, z.T @ (left / lengths))


def _eigenvectors(products: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors.

    On one thread: LAPACK's wait for each other so often that, where another program takes turns
    with one of them, seconds pass where one alone needs a tenth of that.
    """
    with one_torch_thread():
        values, vectors = torch.linalg.eigh(products)
    return values, vectors
