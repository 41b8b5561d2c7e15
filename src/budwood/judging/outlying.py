"""Photos unlike all others, by how far the direction of their features lies from every class.

The distance is that of Mahalanobis to the nearest class, by means and spread of photos that do not
belong together with the one that is measured. How far is far is told by the median and the
deviation of all photos' distances, which outliers hardly move.

References: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks", NeurIPS 2018; Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", 2004 (the shape that the spread is drawn towards).
"""

import numpy as np
from numpy.typing import NDArray

from budwood.images.folds import FOLDS, make_folds

FAR = 3.2
"""Deviations above the median from which on a photo is an outlier."""
FEW = 50
"""Of fewer photos it cannot be told what is usual."""
DRAWN = 0.2
"""How much the spread is drawn towards one that is the same along all axes."""
WIDE = 4096
"""Of more features, so many random sums stand for all."""


def outliers(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> list[tuple[int, float]]:
    """Photos unlike all others, the farthest first, each with its deviations above the median.

    Args:
        features: `n d`.
        labels: `n`.
        groups: The group of each photo; None: each stands for itself.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(90, 8)) * 0.2 + 1
        >>> rows[70] = [5, -5, 5, -5, 5, -5, 5, -5]
        >>> [photo for photo, _ in outliers(rows, np.arange(90) % 2)]
        [70, 37]
    """
    folds = make_folds(labels, FOLDS, groups=groups)
    if len(labels) < FEW or len(np.unique(folds)) < 2:
        return []
    rows = _directions(features)
    distances = np.empty(len(rows))
    for fold in np.unique(folds):
        out = folds == fold
        distances[out] = _distances(rows[out], rows[~out], labels[~out])
    middle = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - middle)))
    above = (distances - middle) / max(deviation, 1e-6)
    return [(int(i), float(above[i])) for i in np.argsort(-above) if above[i] > FAR]


def _directions(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = features.astype(np.float32)
    if rows.shape[1] > WIDE:
        random = np.random.default_rng(0)
        rows = rows @ random.normal(size=(rows.shape[1], WIDE // 2)).astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return rows


def _distances(
    rows: NDArray[np.float32], known: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Of each row to the nearest class of the known ones."""
    from scipy.linalg import cholesky, solve_triangular

    present = np.unique(labels)
    means = np.stack([known[labels == k].mean(0) for k in present])
    around = known - means[np.searchsorted(present, labels)]
    spread = around.T @ around / max(1, len(known) - len(present))
    usual = max(float(np.trace(spread)) / len(spread), 1e-12)
    spread = (1 - DRAWN) * spread + DRAWN * usual * np.eye(len(spread), dtype=np.float32)
    root = cholesky(spread, lower=True, check_finite=False)
    seen, centres = (
        solve_triangular(root, x.T, lower=True, check_finite=False).T.astype(np.float64)
        for x in (rows, means)
    )
    squares = (seen**2).sum(1)[:, None] + (centres**2).sum(1) - 2 * seen @ centres.T
    nearest: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0).min(1))
    return nearest
