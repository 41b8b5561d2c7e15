"""How well features suit labels, without fitting a classifier: LogME and the H-score.

Both are quick, and both are worse judges than the probe itself; they stand beside it because the
literature uses them.
"""

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError

CLOSE, STEPS = 1e-5, 1000
"""The fixed point of LogME is reached when the ratio of precisions moves by less than that share;
it is given up after so many steps."""


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
    Learning", ICML 2021, algorithm 1 with the fixed point of its journal version.
    """
    x, present = _checked(features, labels)
    n, d = x.shape
    left, singular, _ = np.linalg.svd(x, full_matrices=False)
    squares = singular**2
    # Directions of no weight say nothing: their log-precisions cancel in the evidence.
    kept = squares > squares.max(initial=0.0) * 1e-14
    left, squares = left[:, kept], squares[kept]
    return float(np.mean([_evidence(left, squares, labels == k, n, d) for k in present]))


def _evidence(
    left: NDArray[np.float64],
    squares: NDArray[np.float64],
    is_class: NDArray[np.bool_],
    n: int,
    d: int,
) -> float:
    """Log evidence of one class's indicator, divided by the photos."""
    y = is_class.astype(np.float64)
    along = (left.T @ y) ** 2
    across = float(y @ y - along.sum())
    alpha = beta = 1.0
    for _ in range(STEPS):
        ratio = alpha / beta
        shrunk = squares / (squares + ratio)
        weights = float((squares * along / (squares + ratio) ** 2).sum())
        residual = float((along * (1 - shrunk) ** 2).sum()) + max(across, 0.0)
        effective = float(shrunk.sum())
        alpha = effective / max(weights, 1e-300)
        beta = (n - effective) / max(residual, 1e-300)
        if abs(alpha / beta - ratio) <= CLOSE * ratio:
            break
    ratio = alpha / beta
    weights = float((squares * along / (squares + ratio) ** 2).sum())
    residual = float((along * (ratio / (squares + ratio)) ** 2).sum()) + max(across, 0.0)
    determinant = float(np.log(alpha + beta * squares).sum()) + (d - len(squares)) * np.log(alpha)
    evidence = (
        n * np.log(beta) + d * np.log(alpha) - determinant - beta * residual - alpha * weights
    )
    return float((evidence - n * np.log(2 * np.pi)) / (2 * n))


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
