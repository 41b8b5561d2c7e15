"""Regularised logistic regressions on the same rows, minimised side by side.

Limited-memory BFGS for a batch of problems: each step multiplies the rows once with the columns
of all problems. The variables are scaled by the expected curvature along the principal axes of
the rows, so that every problem is nearly round and few steps are needed.

Reference: Nocedal & Wright, "Numerical Optimization", algorithms 7.4 and 3.1.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from budwood.learning.streaming import KEPT_BYTES, Blocks, FeatureRows
from budwood.tensors import Labels
from budwood.threads import one_torch_thread

SAMPLED = 16
"""Rows for each feature from which the axes are found; more would not turn them visibly."""


@dataclass(frozen=True)
class Basis:
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

    @cached_property
    def turned(self) -> Blocks | None:
        """The rows along the axes in float32, where they are few enough to be kept twice: columns
        are then sought along the axes, and not turned at each step."""
        n, m = len(self.blocks), self.blocks.width
        if self.directions is None or 4 * n * m > KEPT_BYTES // 2:
            return None
        directions = self.directions.float()
        along = torch.cat([rows @ directions for _, rows in self.blocks.each(torch.float32)])
        zero, one = torch.zeros(m, dtype=torch.float64), torch.ones(m, dtype=torch.float64)
        return Blocks(FeatureRows(along), zero, one, self.blocks.size)

    def to(self, dtype: torch.dtype) -> "Basis":
        """The same for columns of this type; the rows are given in any."""
        directions = None if self.directions is None else self.directions.to(dtype)
        return replace(self, directions=directions, curvature=self.curvature.to(dtype))

    def columns(self, along: Tensor) -> Tensor:
        """From weights along the axes to columns, `... m`."""
        return along if self.directions is None else along @ self.directions.T

    def along(self, columns: Tensor) -> Tensor:
        """From gradients of columns to gradients along the axes, `... m`."""
        return columns if self.directions is None else columns @ self.directions

    def weights(self, columns: Tensor) -> Tensor:
        """From columns to weights of the standardised features, `... d`."""
        return columns if self.span is None else columns @ self.span.T


@dataclass(frozen=True)
class LabelledRows:
    """Standardised features of known classes, and the shape of the layer that is fitted to them."""

    blocks: Blocks
    labels: Labels
    k: int
    """Classes."""
    bias: bool = True
    """False keeps the bias at 0."""

    @cached_property
    def axes(self) -> Basis:
        """Their principal axes."""
        return axes_of(self.blocks)


def axes_of(blocks: Blocks) -> Basis:
    """The principal axes of standardised features.

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
    return Basis(blocks, directions, values.clamp(min=0) * (n / len(positions)))


def _axes_in_span(blocks: Blocks) -> Basis:
    z = blocks.at(range(len(blocks)), torch.float64)
    values, left = _eigenvectors(z @ z.T)
    keep = values > values[-1] * 1e-12
    values, left = values[keep], left[:, keep]
    lengths = values.sqrt()
    zero, one = torch.zeros_like(lengths), torch.ones_like(lengths)
    coordinates = Blocks(FeatureRows(left * lengths), zero, one, blocks.size)
    return Basis(coordinates, None, values, z.T @ (left / lengths))


def _eigenvectors(products: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors.

    On one thread: LAPACK's wait for each other so often that, where another program takes turns
    with one of them, seconds pass where one alone needs a tenth of that.
    """
    with one_torch_thread():
        values, vectors = torch.linalg.eigh(products)
    return values, vectors


MEMORY = 20
"""Pairs of steps and gradients that are remembered."""
ENOUGH = 1e-4
"""Share of the expected decrease that a step must achieve (Armijo)."""

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From variables `p k m+1` to the value `p` and the gradient of each problem."""
Memory = deque[tuple[Tensor, Tensor]]
"""Steps along the axes, and by what they changed the gradient."""


class Regressions:
    """The same labelled rows, with another share of each row in each of `p` problems.

    Variables are `p k m+1`: the columns of the classes, each with its bias last. An L2 strength is
    that of all rows: a problem with a part of them has that part of it, so that its loss and its L2
    strength are in the same proportion, and its answers as sharp, as with all."""

    def __init__(self, rows: LabelledRows, shares: Tensor, dtype: torch.dtype) -> None:
        """Shares are `p n`; 0 leaves a row out. Float64 is for an optimum to the last digit."""
        self._rows = rows
        self._axes, self._labels, self._bias = rows.axes.to(dtype), rows.labels, rows.bias
        self._dtype, self._shares = dtype, shares.to(dtype)
        self._count = self._shares.sum(1).view(-1, 1, 1)
        self._part = self._count / max(1, len(rows.labels))
        self._even = (1 - 1 / rows.k) / rows.k  # curvature where all classes are as likely
        self._turned = rows.axes.turned if dtype == torch.float32 else None
        self._memory: Memory = deque(maxlen=MEMORY)
        self._l2_strength = 0.0  # that of the memory
        self.shape = (len(shares), rows.k, rows.axes.blocks.width + 1)

    def minimise(
        self, l2_strength: float, start: Tensor | None, tolerance: float, steps: int
    ) -> Tensor:
        """The optimum of each problem from `start`, or from zero.

        It stops where every gradient is as small a part of that at zero as the tolerance, or
        after so many steps. What was learned of the curvature at another L2 strength still serves.
        """
        self._remember_at(l2_strength)
        begin = torch.zeros(self.shape) if start is None else start
        begin = begin.to(self._dtype)
        begin_along = self._along(begin)

        def objective(moved: Tensor) -> tuple[Tensor, Tensor]:
            if self._turned is not None:
                return self._value_and_gradient(self._turned, begin_along + moved, l2_strength)
            w = begin + self._columns(moved)
            values, gradient = self.value_and_gradient(w, l2_strength)
            return values, self._along(gradient)

        scale = self._scale(l2_strength)
        least_gradient = tolerance * _length(self._along(self._gradient_at_zero) * scale)
        moved = _lbfgs(objective, begin, scale, least_gradient, steps, self._memory)
        return begin + self._columns(moved)

    def exactly(self) -> "Regressions":
        """The same in float64, with what was learned of the curvature."""
        exact = Regressions(self._rows, self._shares, torch.float64)
        exact._memory.extend((moved.double(), change.double()) for moved, change in self._memory)
        exact._l2_strength = self._l2_strength
        return exact

    def _remember_at(self, l2_strength: float) -> None:
        """What is remembered of gradients as it would have been with this L2 strength."""
        more = (l2_strength - self._l2_strength) * self._part
        self._l2_strength = l2_strength
        for i, (moved, gradient_change) in enumerate(self._memory):
            by_l2 = torch.cat([more * moved[..., :-1], torch.zeros_like(moved[..., -1:])], 2)
            self._memory[i] = moved, gradient_change + by_l2

    def value_and_gradient(self, w: Tensor, l2_strength: float) -> tuple[Tensor, Tensor]:
        """The value of each problem, `p` float64, and its gradient: one pass over the rows."""
        return self._value_and_gradient(self._axes.blocks, w, l2_strength)

    def _value_and_gradient(
        self, blocks: Blocks, w: Tensor, l2_strength: float
    ) -> tuple[Tensor, Tensor]:
        p, k, _ = self.shape
        values, gradient = torch.zeros(p, dtype=torch.float64), torch.zeros_like(w)
        for part, rows in blocks.each(self._dtype):
            truth = self._labels[part].expand(p, 1, -1)
            shares = self._shares[:, part]
            log_p = log_probabilities(w, rows)
            values -= (log_p.gather(1, truth).squeeze(1) * shares).sum(1, dtype=torch.float64)
            error = log_p.exp_()
            error.scatter_add_(1, truth, error.new_full((1, 1, 1), -1.0).expand_as(truth))
            error *= shares.unsqueeze(1)
            gradient[..., :-1] += (error.view(p * k, -1) @ rows).view(p, k, -1)
            gradient[..., -1] += error.sum(2)
        columns = w[..., :-1]
        own = l2_strength * self._part
        values += 0.5 * own.view(-1).double() * (columns.double() ** 2).sum((1, 2))
        gradient[..., :-1] += own * columns
        gradient[..., -1] *= self._bias
        return values, gradient

    @cached_property
    def _gradient_at_zero(self) -> Tensor:
        return self.value_and_gradient(torch.zeros(self.shape, dtype=self._dtype), 0.0)[1]

    def _scale(self, l2_strength: float) -> Tensor:
        """`p 1 m+1`: one over the root of the curvature that is expected."""
        curvature = self._part * (self._even * self._axes.curvature + l2_strength)
        return 1 / torch.cat([curvature, self._even * self._count], 2).sqrt()

    def _columns(self, along: Tensor) -> Tensor:
        return torch.cat([self._axes.columns(along[..., :-1]), along[..., -1:]], 2)

    def _along(self, columns: Tensor) -> Tensor:
        return torch.cat([self._axes.along(columns[..., :-1]), columns[..., -1:]], 2)


def log_probabilities(w: Tensor, rows: Tensor) -> Tensor:
    """The logarithm of each class's probability, `p k b`, by columns `p k m+1` of rows `b m`."""
    p, k, _ = w.shape
    flat = w.view(p * k, -1)
    return torch.addmm(flat[:, -1:], flat[:, :-1], rows.T).view(p, k, -1).log_softmax(1)


def _lbfgs(
    objective: Objective,
    like: Tensor,
    scale: Tensor,
    least_gradient: Tensor,
    steps: int,
    memory: Memory,
) -> Tensor:
    """How far to move from where each problem is, until no scaled gradient is longer than the
    least."""
    at = torch.zeros_like(like)
    values, gradient = objective(at)
    for _ in range(steps):
        if bool((_length(gradient * scale) <= least_gradient).all()):
            break
        direction = -_times_inverse_curvature(gradient, scale, memory)
        step, new_values, new_gradient = _line_search(objective, at, values, gradient, direction)
        if not bool(step.any()):
            break
        moved = step * direction
        memory.append((moved, new_gradient - gradient))
        at, values, gradient = at + moved, new_values, new_gradient
    return at


def _times_inverse_curvature(gradient: Tensor, scale: Tensor, memory: Memory) -> Tensor:
    """The two-loop recursion, for all problems at once."""
    q = gradient
    used = []
    for moved, gradient_change in reversed(memory):
        product = _dot(moved, gradient_change)
        inverse = torch.where(product > 0, 1 / torch.where(product > 0, product, 1), 0)
        share = inverse * _dot(moved, q)
        q = q - share * gradient_change
        used.append((inverse, share))
    q = q * scale * scale
    if memory:
        _, gradient_change = memory[-1]
        inverse, scaled = used[0][0], gradient_change * scale
        q = q * torch.where(inverse > 0, 1 / (inverse * _dot(scaled, scaled)).clamp(min=1e-30), 1)
    for (moved, gradient_change), (inverse, share) in zip(memory, reversed(used), strict=True):
        q = q + (share - inverse * _dot(gradient_change, q)) * moved
    return q


def _line_search(
    objective: Objective, at: Tensor, values: Tensor, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A step for each problem that decreases its value enough; 0 where none does."""
    expected = _dot(gradient, direction)
    step = torch.ones_like(expected)
    for _ in range(20):
        new_values, new_gradient = objective(at + step * direction)
        rounding = 1e-7 if at.dtype == torch.float32 else 1e-14
        limit = values + ENOUGH * (step * expected).view(-1).double() + rounding * values.abs()
        good = new_values <= limit
        if bool(good.all()):
            return step, new_values, new_gradient
        step = torch.where(good.view(-1, 1, 1), step, step * 0.5)
    step = torch.where(good.view(-1, 1, 1), step, torch.zeros_like(step))
    return step, *objective(at + step * direction)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


def _length(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()
