"""How well features suit labels, without fitting a classifier: LogME and the H-score.

Both are quick, and both are worse judges than the probe itself; they stand beside it because the
literature uses them. One decomposition of the features serves both.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError

FLAT = 1e-12
"""Directions with a smaller share of the largest sum of squares are left out: what lies along them
is rounding."""
REACH, STEPS = 1e10, 201
"""Ratios of LogME's two precisions are tried from that much below the least square to that much
above the greatest, at so many places; the best is then refined."""


@dataclass(frozen=True)
class Spectrum:
    """Features by their principal directions, and what of each class lies along them."""

    squares: NDArray[np.float64]
    """`m`, the sums of squares along the directions."""
    along: NDArray[np.float64]
    """`m k`: what of the indicator of each class lies along each direction."""
    level: NDArray[np.float64]
    """`m`: the same of a column of ones."""
    sizes: NDArray[np.float64]
    """`k`, photos of each class."""

    @property
    def images(self) -> float:
        """How many there are."""
        return float(self.sizes.sum())


def spectrum(features: NDArray[np.floating], labels: NDArray[np.integer]) -> Spectrum:
    """The principal directions of features `n d`, as they are, and the labels as they see them."""
    present = np.unique(labels)
    if features.ndim != 2 or len(features) != len(labels) or len(features) < 2:
        raise DataError(
            f"Features of shape {features.shape} and {len(labels)} labels cannot be judged.",
            expected="There must be one row and one label a photo, and at least two photos.",
        )
    if len(present) < 2:
        raise DataError("Features are judged by how they tell classes apart: two are needed.")
    x = features.astype(np.float64)
    is_class = (labels[:, None] == present).astype(np.float64)  # n k
    given = np.column_stack([is_class, np.ones(len(x))])
    is_tall = x.shape[0] >= x.shape[1]
    squares, directions = np.linalg.eigh(x.T @ x if is_tall else x @ x.T)
    kept = squares > max(squares[-1], 0.0) * FLAT
    squares, directions = squares[kept], directions[:, kept]
    if is_tall:
        seen = directions.T @ (x.T @ given) / np.sqrt(squares)[:, None]
    else:
        seen = directions.T @ given
    return Spectrum(squares, seen[:, :-1], seen[:, -1], is_class.sum(0))


def logme(seen: Spectrum) -> float:
    """The logarithm of maximum evidence, a photo and class: higher is better.

    For each class, how probable its indicator is under Bayesian linear regression on the features,
    at the best precisions of weights and noise.

    Reference: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer
    Learning", ICML 2021. Their fixed point is replaced by a search in one dimension, which also
    holds where the features can say every label exactly.
    """
    n, squares, along = seen.images, seen.squares, seen.along**2
    constant = n * (np.log(n) - 1 - np.log(2 * np.pi))
    across = np.maximum(seen.sizes - along.sum(0), 1e-12 * seen.sizes) * (len(squares) < n)
    if not len(squares):
        return float(np.mean(constant - n * np.log(across))) / (2 * n)
    values = [_least(squares, *of, n) for of in zip(along.T, across, strict=True)]
    return float(np.mean(constant - np.array(values))) / (2 * n)


def _least(
    squares: NDArray[np.float64], along: NDArray[np.float64], across: float, n: float
) -> float:
    """What is taken off the log evidence of one class's indicator, at its least, twice.

    For each ratio of the two precisions (weights over noise) the best noise is known, which leaves
    one number to search. Directions without spread cancel.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_ratio: float) -> float:
        ratio = np.exp(log_ratio)
        shrunk = ratio / (squares + ratio)
        return n * float(np.log(across + along @ shrunk)) - float(np.log(shrunk).sum())

    places = np.linspace(np.log(squares.min() / REACH), np.log(squares.max() * REACH), STEPS)
    tried = [loss(place) for place in places]
    best = int(np.argmin(tried))
    around = places[max(0, best - 1)], places[min(STEPS - 1, best + 1)]
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-6})
    return min(float(found.fun), tried[best])


def h_score(seen: Spectrum) -> float:
    """How much of the features' spread lies between classes: higher is better, at most `k - 1`.

    The trace of the inverse covariance of the features times the covariance of their class means.
    With no more photos than features it is always `k - 1`, and says nothing.

    Reference: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer
    Learning", ICIP 2019.
    """
    # It is what of the classes' indicators, scaled to length 1, lies in the span of the centred
    # features: that of the features and a column of ones, less the latter.
    inside = (seen.along**2).sum(0)
    missing = seen.images - float(seen.level @ seen.level)
    if missing > 1e-6 * seen.images:  # ones are not in the span of the features themselves
        inside = inside + (seen.sizes - seen.level @ seen.along) ** 2 / missing
    return float((inside / seen.sizes - seen.sizes / seen.images).sum())
