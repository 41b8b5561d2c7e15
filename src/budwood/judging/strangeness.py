"""How far a photo lies from everything that a classifier was trained on.

A classifier of flowers is as sure of a cat as of a daisy: its probabilities only say which flower it
would be. What tells a cat is that its features lie where no flower's do. The distance is that of
Mahalanobis to the nearest class: the spread within the classes sets the scale, along its main axes
one by one and for all the others together, so that what is kept is small whatever the photos.

Reference: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks", NeurIPS 2018. The shape of the covariance: Tipping and Bishop, "Probabilistic
Principal Component Analysis", 1999.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError

AXES = 128
"""Main axes of the spread within classes that are kept at most."""
COVERAGE = 0.95
"""The share of photos of the known classes that is not to be called strange."""


@dataclass(frozen=True)
class Familiar:
    """Where the training photos lie in feature space, and from which distance on a photo is
    strange."""

    means: NDArray[np.float32]
    """`k d`, of the classes that have photos."""
    axes: NDArray[np.float32]
    """`r d`, the main axes of the spread within classes, each of length 1."""
    deviations: NDArray[np.float32]
    """`r`, along them."""
    rest: float
    """Deviation along any other axis."""
    limit: float
    """The distance beyond which a photo is called strange."""

    def distance(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far each row of features `n d` is from the nearest class, in deviations."""
        rows = features.astype(np.float64)
        # The squared distance to each mean, split into what lies along the axes and what does not.
        along = (rows @ self.axes.T) / self.deviations
        centres = (self.means.astype(np.float64) @ self.axes.T) / self.deviations
        inside = _squared(along, centres)
        axes_rows, axes_means = rows @ self.axes.T, self.means @ self.axes.T
        outside = _squared(rows, self.means) - _squared(axes_rows, axes_means)
        total = inside + np.maximum(outside, 0) / self.rest**2
        nearest: NDArray[np.float64] = np.sqrt(total.min(1))
        return nearest

    def is_strange(self, features: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which rows of features `n d` lie beyond the limit."""
        return self.distance(features) > self.limit


def familiar(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer],
    coverage: float = COVERAGE,
) -> Familiar:
    """What these training photos look like.

    The limit is read off photos that took no part: each fold is measured with means and axes of
    the others.

    Args:
        features: `n d`.
        labels: `n`.
        folds: `n`, the part that each photo is held out with; at least two.
        coverage: The share of photos of the known classes that is not to be called strange.

    Raises:
        DataError: If there are fewer than two folds or rows, or the lengths differ.
    """
    if len(features) != len(labels) or len(labels) != len(folds) or len(np.unique(folds)) < 2:
        raise DataError(
            f"{len(features)} rows, {len(labels)} labels and {len(np.unique(folds))} folds do not "
            "tell what is familiar.",
            expected="There must be one label and one fold a row, and two folds or more.",
        )
    distances = np.empty(len(labels))
    for fold in np.unique(folds):
        out = folds == fold
        others = _described(features[~out], labels[~out], np.inf)
        distances[out] = others.distance(features[out])
    return _described(features, labels, float(np.quantile(distances, coverage)))


def _described(
    features: NDArray[np.floating], labels: NDArray[np.integer], limit: float
) -> Familiar:
    present = np.unique(labels)
    means = np.stack([features[labels == k].mean(0, dtype=np.float64) for k in present])
    around = features.astype(np.float64) - means[np.searchsorted(present, labels)]
    freedom = max(1, len(features) - len(present))
    _, singular, axes = np.linalg.svd(around, full_matrices=False)
    variances = singular**2 / freedom
    r = min(AXES, len(variances) // 2 or 1)
    width = features.shape[1]
    left_over = variances[r:].sum() / max(1, width - r)
    rest = float(np.sqrt(max(left_over, 1e-12 * max(variances.max(), 1e-12))))
    deviations = np.maximum(np.sqrt(variances[:r]), rest)
    return Familiar(
        means=means.astype(np.float32),
        axes=axes[:r].astype(np.float32),
        deviations=deviations.astype(np.float32),
        rest=rest,
        limit=limit,
    )


def _squared(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distances `n k` between rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
