"""How far a photo lies from everything that a classifier was trained on, or from all other photos.

A classifier of flowers is as sure of a cat as of a daisy: its probabilities only say which flower
it would be. What tells a cat is that its features lie where no flower's do. The distance is that of
Mahalanobis to the nearest class, of features at length 1: only their direction counts. A new kind
of flower is much harder to tell than a cat, and is often not told.

The detector that travels with a classifier keeps the spread within classes along its main axes one
by one and along all others together, so that it is small whatever the photos. Outliers of a data
set are measured by means and spread of photos that do not belong together with them; how far is far
is told by the median and the deviation of all distances, which outliers hardly move.

References: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and
Adversarial Attacks", NeurIPS 2018. Tipping and Bishop, "Probabilistic Principal Component
Analysis", 1999 (the detector's covariance). Ledoit and Wolf, "A well-conditioned estimator for
large-dimensional covariance matrices", 2004 (what the spread is shrunk towards for outliers).
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from budwood.data.splitting import FOLDS, make_folds
from budwood.display import displayed
from budwood.errors import DataError

AXES = 64
"""Main axes of the spread within classes that are kept at most."""
ROWS_AN_AXIS = 16
"""Photos that each axis takes: axes of few photos would lie where just these photos are."""
MANY = 2000
"""Photos of which half is enough to measure the other half with; of fewer, four fifths are."""
ROUNDS, SPARE = 2, 16
"""Rounds of subspace iteration, and the axes sought beyond those that are kept."""
SAME = 1e-6
"""Rows of length 1 that differ by less along an axis are the same but for rounding."""
AT_ONCE = 512
"""Rows that are measured at once."""
COVERAGE = 0.95
"""The share of photos of the known classes that is not called out of distribution."""


@displayed
@dataclass(frozen=True)
class OODDetector:
    """Where the directions of the training photos' features lie, and from which distance on a photo
    is out of distribution."""

    means: NDArray[np.float32]
    """`k d`, of the classes that have photos."""
    axes: NDArray[np.float32]
    """`r d`, the main axes of the spread within classes, each of length 1."""
    deviations: NDArray[np.float32]
    """`r`, along them."""
    rest: float
    """Deviation along any other axis."""
    limit: float
    """The distance beyond which a photo is called out of distribution."""

    def distance(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """How far each row of features `n d` is from the nearest class, in deviations."""
        parts = [features[i : i + AT_ONCE] for i in range(0, len(features), AT_ONCE)]
        return np.concatenate([np.empty(0), *map(self._distance, parts)])

    def is_ood(self, features: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which rows of features `n d` lie beyond the limit."""
        return self.distance(features) > self.limit

    def _distance(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        rows = _directions(features).astype(np.float64)
        # The squared distance to each mean, split into what lies along the axes and what does not.
        axes_rows, axes_means = rows @ self.axes.T, self.means.astype(np.float64) @ self.axes.T
        inside = _squared(axes_rows / self.deviations, axes_means / self.deviations)
        outside = _squared(rows, self.means) - _squared(axes_rows, axes_means)
        total = inside + np.maximum(outside, 0) / self.rest**2
        nearest: NDArray[np.float64] = np.sqrt(np.maximum(total.min(1), 0))
        return nearest


@dataclass(frozen=True)
class FittedOODDetector:
    """What training photos look like, and how far each lies from the others."""

    detector: OODDetector
    distances: NDArray[np.float64]
    """`n`, of each photo from means and axes that it took no part in."""


def fit_ood_detector(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> FittedOODDetector:
    """What these training photos look like.

    The limit is read off photos that took no part: each part of every class is measured with means
    and axes of the others, photos of one group together. It is the distance that keeps its promise
    for a next group, be there few of them: of `m` groups, the (m + 1) * COVERAGE-th distance, or
    the largest where there is none so large.

    Reference: Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005 (the
    correction for few).
    """
    if len(features) != len(labels) or len(labels) < 2:
        raise DataError(
            f"{len(features)} rows and {len(labels)} labels do not tell what is familiar.",
            expected="There must be one label a row, and two rows or more.",
        )
    n, parts = len(labels), 2 if len(labels) >= MANY else 5
    r = max(1, min(AXES, n // ROWS_AN_AXIS, features.shape[1] // 2))
    part = make_folds(labels, parts, groups=groups)
    distances = np.full(n, np.inf)
    for out in (part == number for number in np.unique(part)):
        if not out.all():
            others = _described(features[~out], labels[~out], r, np.inf)
            distances[out] = others.distance(features[out])
    limit = max(1.0, _limit(distances, groups))  # of equal photos all is rounding
    return FittedOODDetector(_described(features, labels, r, limit), distances)


def _limit(distances: NDArray[np.float64], groups: NDArray[np.integer] | None) -> float:
    """The distance within which a photo of a next group lies, with probability `COVERAGE`."""
    m = len(distances) if groups is None else len(np.unique(groups))
    share = min(1.0, ceil((m + 1) * COVERAGE) / m)
    known = distances[np.isfinite(distances)]
    return float(np.quantile(known, share, method="inverted_cdf")) if len(known) else np.inf


def _described(
    features: NDArray[np.floating], labels: NDArray[np.integer], r: int, limit: float
) -> OODDetector:
    present = np.unique(labels)
    rows = _directions(features)
    means = np.stack([rows[labels == k].mean(0, dtype=np.float64) for k in present])
    around = rows - means.astype(np.float32)[np.searchsorted(present, labels)]
    freedom = max(1, len(rows) - len(present))
    squares, axes = _main_axes(around, r)
    total = float((np.linalg.norm(around, axis=1).astype(np.float64) ** 2).sum())
    left_over = max(0.0, total - float(squares.sum())) / max(1, around.shape[1] - r)
    deviations = np.sqrt(np.maximum(squares, left_over) / freedom)
    return OODDetector(
        means=means.astype(np.float32),
        axes=axes.astype(np.float32),
        deviations=np.maximum(deviations, SAME).astype(np.float32),
        rest=max(float(np.sqrt(left_over / freedom)), SAME),
        limit=limit,
    )


def _directions(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row at length 1: how strongly a network answers says little of what is on a photo."""
    rows = features.astype(np.float32)
    scaled: NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-12
    )
    return scaled


def _main_axes(
    around: NDArray[np.float32], r: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The `r` largest sums of squares along axes, largest last, and these axes `r d`.

    By a few rounds of subspace iteration: where axes are as long as each other, any will do.

    Reference: Halko, Martinsson and Tropp, "Finding Structure with Randomness", SIAM Review 2011.
    """
    n, d = around.shape
    wider = min(r + SPARE, n, d)
    axes = np.random.default_rng(0).normal(size=(d, wider)).astype(np.float32)
    for _ in range(ROUNDS):
        axes = np.linalg.qr(around.T @ (around @ axes))[0]
    along = (around @ axes).astype(np.float64)
    squares, turn = np.linalg.eigh(along.T @ along)
    found: NDArray[np.float64] = (axes @ turn[:, -r:]).T
    return np.maximum(squares[-r:], 0), found


def _squared(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distances `n k` between rows."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares: NDArray[np.float64] = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return squares


FAR = 3.2
"""Deviations above the median from which on a photo is an outlier."""
FEW = 50
"""With fewer photos it cannot be told what is usual."""
DRAWN = 0.2
"""How much the spread is drawn towards one that is the same along all axes."""
WIDE = 4096
"""More features than this are replaced by half as many random sums."""


def outliers(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> list[tuple[int, float]]:
    """Photos unlike all others, the farthest first, each with its deviations above the median.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(90, 8)) * 0.2 + 1
        >>> rows[70] = [5, -5, 5, -5, 5, -5, 5, -5]
        >>> [image for image, _ in outliers(rows, np.arange(90) % 2)]
        [70, 37]
    """
    folds = make_folds(labels, FOLDS, groups=groups)
    if len(labels) < FEW or len(np.unique(folds)) < 2:
        return []
    if features.shape[1] > WIDE:
        sums = np.random.default_rng(0).normal(size=(features.shape[1], WIDE // 2))
        features = features.astype(np.float32) @ sums.astype(np.float32)
    rows = _directions(features)
    distances = np.empty(len(rows))
    for fold in np.unique(folds):
        out = folds == fold
        distances[out] = _distances(rows[out], rows[~out], labels[~out])
    middle = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - middle)))
    above = (distances - middle) / max(deviation, 1e-6)
    return [(int(i), float(above[i])) for i in np.argsort(-above) if above[i] > FAR]


def _distances(
    rows: NDArray[np.float32], known: NDArray[np.float32], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The distance of each row to the nearest class of the known ones."""
    from scipy.linalg import cholesky, solve_triangular

    present = np.unique(labels)
    means = np.stack([known[labels == k].mean(0) for k in present])
    around = known - means[np.searchsorted(present, labels)]
    spread = around.T @ around / max(1, len(known) - len(present))
    usual = max(float(np.trace(spread)) / len(spread), 1e-12)
    spread = (1 - DRAWN) * spread + DRAWN * usual * np.eye(len(spread), dtype=np.float32)
    root = cholesky(spread, lower=True, check_finite=False)
    seen, centres = (
        solve_triangular(root, x.T, lower=True, check_finite=False).T for x in (rows, means)
    )
    nearest: NDArray[np.float64] = np.sqrt(np.maximum(_squared(seen, centres), 0).min(1))
    return nearest
