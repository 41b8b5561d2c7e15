"""Many regularised logistic regressions on the same features, minimised side by side.

Limited-memory BFGS for a batch of problems: each step multiplies the features once with the
columns of all problems. The variables are scaled by the expected curvature along the principal
axes of the features, so that every problem is nearly round and few steps are needed.

Reference: Nocedal & Wright, "Numerical Optimization", algorithms 7.4 and 3.1.
"""

import copy
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

MEMORY = 10
"""Pairs of steps and slopes that are remembered."""
ENOUGH = 1e-4
"""Share of the expected decrease that a step must achieve (Armijo)."""


class Axes:
    """Standardised features in their principal axes; nothing of their span is lost."""

    def __init__(self, z: Tensor) -> None:
        """Rotate `n d` features in float64."""
        n, self.features = z.shape
        if n >= self.features:
            values, self.directions = _principal_axes(z.T @ z)
        else:
            values, left = _principal_axes(z @ z.T)
            keep = values > values[-1] * 1e-12
            values, left = values[keep], left[:, keep]
            self.directions = z.T @ (left / values.sqrt())
        self.coordinates = z @ self.directions
        """`n r`, r at most min(n, d)."""
        self.curvature = values.clamp(min=0)
        """`r`, the sum of squares along each axis."""

    def single(self) -> "Axes":
        """The same in float32: half the memory to walk through, enough to compare penalties."""
        twin = copy.copy(self)
        for name in ("coordinates", "directions", "curvature"):
            setattr(twin, name, getattr(self, name).float())
        return twin


def _principal_axes(products: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors; SciPy's LAPACK is ten times torch's on a CPU."""
    from scipy.linalg import eigh

    values, vectors = eigh(products.numpy(), driver="evd", check_finite=False)
    return torch.from_numpy(values), torch.from_numpy(vectors)


class _Problems:
    """The values and slopes of all problems at once. Variables are `p r+1 k`, bias last."""

    def __init__(
        self,
        axes: Axes,
        labels: Tensor,
        k: int,
        penalties: Sequence[float],
        weights: Tensor,
        bias: bool,
    ) -> None:
        self._x = axes.coordinates
        self._labels = labels
        self._weights = weights.to(self._x.dtype)  # p n
        self._penalties = torch.tensor(penalties, dtype=self._x.dtype).view(-1, 1, 1)
        count = self._weights.sum(1).view(-1, 1, 1)
        share = count / len(labels)
        even = (1 - 1 / k) / k  # curvature of cross entropy where all classes are equally likely
        round_axes = 1 / (even * share * axes.curvature.view(1, -1, 1) + self._penalties).sqrt()
        round_bias = 1 / (even * count).sqrt() if bias else torch.zeros_like(count)
        self.scale = torch.cat([round_axes, round_bias], 1)  # p r+1 1
        self.shape = (len(penalties), self._x.shape[1] + 1, k)

    def value_and_slope(self, scaled: Tensor) -> tuple[Tensor, Tensor]:
        p, _, k = self.shape
        w = scaled * self.scale
        columns = w[:, :-1].permute(1, 0, 2).reshape(-1, p * k)  # p r k -> r pk
        logits = (self._x @ columns).view(-1, p, k) + w[:, -1]  # n p k
        normaliser = logits.logsumexp(2)
        truth = self._labels.view(-1, 1, 1).expand(-1, p, 1)
        losses = (normaliser - logits.gather(2, truth).squeeze(2)) * self._weights.T  # n p
        squares = (w[:, :-1] ** 2).sum((1, 2))
        values = losses.sum(0, dtype=torch.float64) + 0.5 * self._penalties.view(-1) * squares
        error = (logits - normaliser.unsqueeze(2)).exp_()
        error.scatter_add_(2, truth, error.new_full((1, 1, 1), -1.0).expand_as(truth))
        error *= self._weights.T.unsqueeze(2)
        along_axes = (self._x.T @ error.view(-1, p * k)).view(-1, p, k).permute(1, 0, 2)
        slope = torch.cat([along_axes + self._penalties * w[:, :-1], error.sum(0).unsqueeze(1)], 1)
        return values, slope * self.scale


def minimise(
    axes: Axes,
    labels: Tensor,
    k: int,
    penalties: Sequence[float],
    weights: Tensor,
    bias: bool,
    steps: int,
) -> Tensor:
    """The optimum of each problem, `p r+1 k`: weights along the axes, then the bias.

    Args:
        axes: The features of all problems.
        labels: `n`, one class a row.
        k: Classes.
        penalties: One L2 penalty a problem.
        weights: `p n`, the share of each row in each problem; 0 leaves it out.
        bias: False keeps the bias at 0.
        steps: At most this many; fewer where every slope is as good as zero.
    """
    problems = _Problems(axes, labels, k, penalties, weights, bias)
    at = torch.zeros(problems.shape, dtype=axes.coordinates.dtype)
    values, slope = problems.value_and_slope(at)
    flat_enough = (1e-6 if at.dtype == torch.float64 else 1e-4) * _length(slope)
    memory: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=MEMORY)
    for _ in range(steps):
        if bool((_length(slope) <= flat_enough).all()):
            break
        direction = -_times_inverse_curvature(slope, memory)
        step, new_values, new_slope = _line_search(problems, at, values, slope, direction)
        if not bool(step.any()):
            break
        moved, bent = step * direction, new_slope - slope
        product = _dot(moved, bent)
        useful = product > 0
        inverse = torch.where(useful, 1 / torch.where(useful, product, 1), 0)
        memory.append((moved, bent, inverse))
        at, values, slope = at + moved, new_values, new_slope
    return (at * problems.scale).double()


def _times_inverse_curvature(slope: Tensor, memory: deque[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """The two-loop recursion, for all problems at once."""
    q = slope
    shares = []
    for moved, bent, inverse in reversed(memory):
        share = inverse * _dot(moved, q)
        q = q - share * bent
        shares.append(share)
    if memory:
        moved, bent, inverse = memory[-1]
        squared = _dot(bent, bent)
        q = q * torch.where(inverse > 0, 1 / (inverse * squared).clamp(min=1e-30), 1)
    for (moved, bent, inverse), share in zip(memory, reversed(shares), strict=True):
        q = q + (share - inverse * _dot(bent, q)) * moved
    return q


def _line_search(
    problems: _Problems, at: Tensor, values: Tensor, slope: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A step for each problem that decreases its value enough; 0 where none does."""
    expected = _dot(slope, direction)
    step = torch.ones_like(expected)
    for _ in range(20):
        new_values, new_slope = problems.value_and_slope(at + step * direction)
        rounding = 1e-7 if at.dtype == torch.float32 else 1e-14
        limit = values + ENOUGH * (step * expected).view(-1).double() + rounding * values.abs()
        good = new_values <= limit
        if bool(good.all()):
            return step, new_values, new_slope
        step = torch.where(good.view(-1, 1, 1), step, step * 0.5)
    step = torch.where(good.view(-1, 1, 1), step, torch.zeros_like(step))
    return step, *problems.value_and_slope(at + step * direction)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


def _length(a: Tensor) -> Tensor:
    return _dot(a, a).sqrt()
