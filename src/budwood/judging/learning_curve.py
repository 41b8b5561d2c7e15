"""What more photos would bring: accuracy with parts of the photos, and a curve through it.

Each part is drawn several times, stratified, and a probe fitted to it is judged on photos that
belong to none. Errors fall like a power of the number of photos, down to a floor that no number
gets below; the curve is drawn through them, and again through what the counts could as well have
been, which tells how far it can be trusted.

Reference: Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017; Viering and
Loog, "The Shape of Learning Curves: a Review", 2021.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError

SHARES = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Parts of the photos that are trained on."""
DRAWN = 3
"""Times that each part is drawn; all photos are one part."""
RESAMPLED = 400
"""Curves through what the counts could as well have been."""
STEEPEST = 2.0
"""No error falls faster than with this power."""


@dataclass(frozen=True)
class Point:
    """What a classifier reaches that learned from some of the photos."""

    photos: int
    """That it learned from."""
    right: int
    """Photos judged right, all draws together."""
    judged: int
    """Photos judged, all draws together."""
    draws: int

    @property
    def top1(self) -> float:
        """Accuracy."""
        return self.right / self.judged


@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect from more photos."""

    photos: int
    """To learn from, in all."""
    top1: float
    interval: tuple[float, float]
    """Where 95 % of the resampled curves pass, with the chance in what is judged."""


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of training photos."""

    points: tuple[Point, ...]
    classes: int
    judged: int
    """Photos that each draw is judged on."""

    def forecast(self, photos: int, seed: int = 0) -> Forecast:
        """The accuracy with that many training photos.

        Args:
            photos: In all; more than there are, or fewer.
            seed: Of the resampling.

        Raises:
            DataError: If there are fewer than three points.
        """
        if len(self.points) < 3:
            raise DataError(
                f"{len(self.points)} parts of the photos are too few for a forecast.",
                expected="At least three are needed.",
            )
        random = np.random.default_rng(seed)
        n = np.array([p.photos for p in self.points], float)
        errors = np.array([1 - p.top1 for p in self.points])
        # Draws are judged on the same photos: they are worth little more than one.
        counts = np.full(len(n), self.judged)
        middle = _at(_fit(n, errors, counts), photos)
        ends = []
        for _ in range(RESAMPLED):
            again = random.binomial(counts, np.clip(errors, 0.5 / counts, 1)) / counts
            expected = _at(_fit(n, again, counts), photos)
            ends.append(random.binomial(self.judged, np.clip(expected, 0, 1)) / self.judged)
        low, high = np.quantile(ends, [0.025, 0.975])
        return Forecast(photos, 1 - middle, (float(1 - high), float(1 - low)))

    def more(self, a_class: int = 100) -> Forecast:
        """The accuracy with so many more photos of each class."""
        return self.forecast(self.points[-1].photos + a_class * self.classes)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        points = [
            {"photos": p.photos, "top1": p.top1, "judged": p.judged, "draws": p.draws}
            for p in self.points
        ]
        if len(self.points) < 3:
            return {"points": points, "forecast": None}
        more = self.more()
        return {
            "points": points,
            "forecast": {"photos": more.photos, "top1": more.top1, "interval": list(more.interval)},
        }


def learning_curve(
    right_with: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    labels: NDArray[np.integer],
    classes: int,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> LearningCurve:
    """Accuracy with parts of the photos.

    Args:
        right_with: From positions of training photos to what a classifier fitted to them gets right
            of the photos that it is judged on, always the same.
        labels: The class of each training photo.
        classes: How many there are.
        shares: Parts, rising; what leaves a class with fewer than two photos is passed over.
        seed: Of the draws.
    """
    points, judged = [], 0
    for share in shares:
        draws = 1 if share == 1 else DRAWN
        parts = [_part(labels, share, seed + i) for i in range(draws)]
        if min(np.bincount(labels[parts[0]], minlength=classes)[np.unique(labels)]) < 2:
            continue
        hits = [right_with(part) for part in parts]
        judged = len(hits[0])
        points.append(Point(len(parts[0]), int(sum(h.sum() for h in hits)), judged * draws, draws))
    return LearningCurve(tuple(points), classes, judged)


def _part(labels: NDArray[np.integer], share: float, seed: int) -> NDArray[np.int64]:
    """Positions of a share of each class, sorted."""
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(members)[: max(1, round(share * len(members)))]
        for members in (np.flatnonzero(labels == k) for k in np.unique(labels))
    ]
    return np.sort(np.concatenate(chosen))


Curve = tuple[float, float, float]


def _fit(n: NDArray[np.float64], errors: NDArray[np.float64], counts: NDArray[np.integer]) -> Curve:
    """Floor, height and power of the curve of least weighted squares."""
    from scipy.optimize import nnls

    smoothed = (errors * counts + 0.5) / (counts + 1)
    weights = np.sqrt(counts / (smoothed * (1 - smoothed)))
    best: tuple[float, Curve] | None = None
    for power in np.linspace(0.05, STEEPEST, 40):
        columns = np.stack([np.ones_like(n), (n / n[-1]) ** -power], 1)
        (floor, height), residual = nnls(columns * weights[:, None], smoothed * weights)
        if best is None or residual < best[0]:
            best = residual, (float(floor), float(height) * n[-1] ** power, float(power))
    assert best is not None
    return best[1]


def _at(curve: Curve, photos: int) -> float:
    floor, height, power = curve
    return float(np.clip(floor + height * photos**-power, 0.0, 1.0))
