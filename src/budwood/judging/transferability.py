"""How well features suit labels, without fitting a classifier: LogME and the H-score.

Both are quick, and both are worse judges than the probe itself; they stand beside it because the
literature uses them.
"""

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError

REACH, STEPS = 1e10, 201
"""Ratios of LogME's two precisions are tried from that much below the least square to that much
above the greatest, at so many places; the best is then refined."""


def logme(features: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The logarithm of maximum evidence, a photo and class: higher is better.

    For each class, how probable its indicator is under Bayesian linear regression on the features,
    at the best precisions of weights and noise.

    Args:
        features: `n d`, as they are: no normalisation is needed.
        labels: `n`.

    Raises:
        DataError: If there are fewer than two photos or classes, or the lengths differ.

    Reference: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer
    Learning", ICML 2021. Their fixed point is replaced by a search in one dimension, which also
    holds where the features can say every label exactly.
    """
    x, present = _checked(features, labels)
    n = len(x)
    left, singular, _ = np.linalg.svd(x, full_matrices=False)
    squares = singular**2
    kept = squares > squares.max(initial=0.0) * 1e-14
    left, squares = left[:, kept], squares[kept]
    is_class = (labels[:, None] == present).astype(np.float64)  # n k
    along = (left.T @ is_class) ** 2  # m k
    sizes = is_class.sum(0)
    across = np.maximum(sizes - along.sum(0), 1e-12 * sizes) * (len(squares) < n)
    return float(np.mean([_evidence(squares, *of, n) for of in zip(along.T, across, strict=True)]))


def _evidence(
    squares: NDArray[np.float64], along: NDArray[np.float64], across: float, n: int
) -> float:
    """The greatest log evidence of one class's indicator, divided by the photos.

    For each ratio of the two precisions (weights over noise) the best noise is known, which leaves
    one number to search. Directions without spread cancel.

    Args:
        squares: `m`, of the features' singular values.
        along: `m`, the indicator's squared parts along their directions.
        across: What lies along no direction, squared.
        n: Photos.
    """
    from scipy.optimize import minimize_scalar

    def negative(log_ratio: float) -> float:
        ratio = np.exp(log_ratio)
        shrunk = ratio / (squares + ratio)
        misfit = across + float((along * shrunk).sum())
        return n * float(np.log(misfit)) - float(np.log(shrunk).sum())

    constant = n * (np.log(n) - 1 - np.log(2 * np.pi))
    if not len(squares):
        return float(constant - negative(0.0)) / (2 * n)
    places = np.linspace(np.log(squares.min() / REACH), np.log(squares.max() * REACH), STEPS)
    best = int(np.argmin([negative(place) for place in places]))
    around = places[max(0, best - 1)], places[min(STEPS - 1, best + 1)]
    found = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-6})
    return float(constant - min(float(found.fun), negative(places[best]))) / (2 * n)


def h_score(features: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """How much of the features' spread lies between classes: higher is better, at most `k - 1`.

    The trace of the inverse covariance of the features times the covariance of their class means.

    Args:
        features: `n d`.
        labels: `n`.

    Raises:
        DataError: As `logme`.

    Reference: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer
    Learning", ICIP 2019.
    """
    x, present = _checked(features, labels)
    # In the principal axes, scaled to the same spread, the covariance is the identity: nothing is
    # left to invert, and what remains are the means of the classes.
    left, singular, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    even = left[:, singular > singular.max(initial=0.0) * 1e-7]
    of_classes = [even[labels == k] for k in present]
    return float(sum(len(rows) * (rows.mean(0) ** 2).sum() for rows in of_classes))


def _checked(
    features: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    present = np.unique(labels)
    if features.ndim != 2 or len(features) != len(labels) or len(features) < 2:
        raise DataError(
            f"Features of shape {features.shape} and {len(labels)} labels cannot be judged.",
            expected="There must be one row and one label a photo, and at least two photos.",
        )
    if len(present) < 2:
        raise DataError("Features are judged by how they tell classes apart: two are needed.")
    return features.astype(np.float64), present
