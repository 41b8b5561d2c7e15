"""What more photos would bring: accuracy with parts of the photos, and a curve through it.

Errors fall like a power of the number of photos, down to a floor that no number gets below. The
curve is drawn through what probes got wrong that learned from parts of the photos, and again
through what they would have got wrong of other photos of the same kind, which tells how far it can
be trusted.

Reference: Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017; Viering and
Loog, "The Shape of Learning Curves: a Review", 2021.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.features.rows import RowSource
from budwood.intervals import wilson_interval
from budwood.learning.growing import grown
from budwood.surgery.tables import aligned
from budwood.tensors import Features, Labels

SHARES = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Parts of the photos that are learned from."""
RESAMPLED = 400
"""Curves through what other photos could as well have shown."""
POWERS = np.linspace(0.05, 2.0, 40)
"""With which an error may fall."""
FEWEST = 3
"""Parts without which there is no curve."""
MORE = 100
"""Photos of each class that a forecast adds unless it is told otherwise."""


@dataclass(frozen=True)
class Point:
    """What a classifier reaches that learned from some of the photos."""

    share: float
    """Of the photos that could be learned from."""
    photos: int
    """That it learned from."""
    top1: float
    """Accuracy on photos that it has not seen."""
    interval: tuple[float, float]
    """Wilson's 95 % interval."""
    draws: int
    """Times that such a part was drawn of each fold."""


@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect from more photos."""

    photos: int
    """To learn from, in all."""
    top1: float
    interval: tuple[float, float]
    """Where 95 % of the curves pass."""

    def __iter__(self) -> Iterator[float]:
        """The estimate and both ends of its interval."""
        return iter((self.top1, *self.interval))


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of training photos."""

    points: tuple[Point, ...]
    photos: int
    """That there are."""
    classes: int
    """That have photos."""
    judged: int
    """Photos that each point is judged on."""
    resampled: NDArray[np.float64]
    """`r p`, the error at each point on photos drawn again, with repetition."""

    def forecast(self, extra_per_class: int = MORE, judged_on: int | None = None) -> Forecast:
        """The accuracy with all these photos and so many more of each class.

        Args:
            extra_per_class: Photos to add; 0 asks for the accuracy with all that there are.
            judged_on: The interval is to hold what will be measured on so many photos, and so is
                wider; None: the accuracy on any number of them.

        Raises:
            DataError: If there are fewer than three points.
        """
        photos = self.photos + extra_per_class * self.classes
        if len(self.points) < FEWEST:
            raise DataError(
                f"{len(self.points)} parts of the photos are too few for a forecast.",
                expected=f"At least {FEWEST} parts of two photos a class are needed.",
                next="Add photos.",
            )
        n = np.array([point.photos for point in self.points], float)
        errors = np.array([[1 - point.top1 for point in self.points]])
        (middle,) = _at(_curves(n, errors, self.judged), photos)
        ends = _at(_curves(n, self.resampled, self.judged), photos)
        if judged_on is not None:
            random = np.random.default_rng(0)
            ends = random.binomial(judged_on, ends) / judged_on
        low, high = np.quantile(ends, [0.025, 0.975])
        return Forecast(photos, float(1 - middle), (float(1 - high), float(1 - low)))

    def to_json(self) -> dict[str, Any]:
        """The object `learning_curve` of `train --json`; see docs/json.md."""
        more = self.forecast() if len(self.points) >= FEWEST else None
        return {
            "points": [
                {
                    "share": point.share,
                    "photos": point.photos,
                    "top1": point.top1,
                    "interval": list(point.interval),
                    "draws": point.draws,
                }
                for point in self.points
            ],
            "judged": self.judged,
            "forecast": more
            and {
                "extra_per_class": MORE,
                "photos": more.photos,
                "top1": more.top1,
                "interval": list(more.interval),
            },
        }

    def __str__(self) -> str:
        if len(self.points) < FEWEST:
            return "There are too few photos for a learning curve."
        head = ("training photos", "top-1", "95 % interval")
        rows = [(str(p.photos), f"{p.top1:.3f}", _between(p.interval)) for p in self.points]
        more = self.forecast()
        low, high = more.interval
        return (
            f"{aligned([head, *rows])}\n"
            f"With {MORE} more photos of each class ({more.photos} in all) expect {more.top1:.3f} "
            f"(95 % interval {low:.3f} to {high:.3f})."
        )


def learning_curve(
    rows: Features | RowSource,
    labels: Labels,
    num_classes: int,
    *,
    penalty: float,
    seed: int = 0,
    shares: Sequence[float] = SHARES,
) -> LearningCurve:
    """Accuracy of a linear head with parts of the photos.

    Args:
        rows: Features of the training photos, one tensor `n d`.
        labels: Their classes.
        num_classes: Outputs of the head.
        penalty: L2 penalty on standardised features, such as that of a fitted probe.
        seed: Of folds, draws and resampling.
        shares: Parts of what can be learned from, rising; parts of fewer than two photos a class
            are passed over.

    Raises:
        DataError: As `fit_probe`.
    """
    parts = list(grown(rows, labels, num_classes, shares, penalty=penalty, seed=seed))
    judged = len(parts[0].hits) if parts else 0
    points = []
    for part in parts:
        top1 = float(part.hits.mean())
        interval = wilson_interval(round(top1 * judged), judged)
        points.append(Point(part.share, part.photos, top1, interval, part.draws))
    return LearningCurve(
        tuple(points),
        photos=len(labels),
        classes=len(np.unique(labels.numpy())),
        judged=judged,
        resampled=_resampled([part.hits for part in parts], judged, seed),
    )


def _resampled(hits: Sequence[NDArray[np.float64]], judged: int, seed: int) -> NDArray[np.float64]:
    """The error of each part on photos drawn again, `r p`: the same photos for all parts."""
    if not hits:
        return np.empty((RESAMPLED, 0))
    random = np.random.default_rng(seed)
    misses = 1 - np.stack(hits)
    drawn = (random.integers(judged, size=judged) for _ in range(RESAMPLED))
    return np.stack([misses[:, again].mean(1) for again in drawn])


Curves = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Floors, heights at one photo, and powers."""


def _curves(n: NDArray[np.float64], errors: NDArray[np.float64], judged: int) -> Curves:
    """The curve of least weighted squares through each row of errors `r p`.

    No floor and no height is below 0, so that more photos never promise less.
    """
    smoothed = (errors * judged + 0.5) / (judged + 1)
    weights = judged / (smoothed * (1 - smoothed))
    least = np.full(len(errors), np.inf)
    floors, heights, powers = (np.zeros(len(errors)) for _ in range(3))
    for power in POWERS:
        falling = (n / n[-1]) ** -power
        floor, height = _floor_and_height(weights, falling, smoothed)
        away = smoothed - floor[:, None] - height[:, None] * falling
        squares = (weights * away**2).sum(1)
        better = squares < least
        least = np.where(better, squares, least)
        floors = np.where(better, floor, floors)
        heights = np.where(better, height * n[-1] ** power, heights)
        powers = np.where(better, power, powers)
    return floors, heights, powers


def _floor_and_height(
    weights: NDArray[np.float64], falling: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Non-negative least squares of each row of `y` on a constant and `falling`."""
    one, x, xx = weights.sum(1), weights @ falling, weights @ falling**2
    ys, xy = (weights * y).sum(1), (weights * y) @ falling
    rest = one * xx - x * x
    floor, height = (xx * ys - x * xy) / rest, (one * xy - x * ys) / rest
    flat, bare = height < 0, floor < 0
    return (
        np.where(flat, ys / one, np.where(bare, 0.0, floor)),
        np.where(flat, 0.0, np.where(bare, xy / xx, height)),
    )


def _at(curves: Curves, photos: int) -> NDArray[np.float64]:
    floors, heights, powers = curves
    errors: NDArray[np.float64] = np.clip(floors + heights * photos**-powers, 0.0, 1.0)
    return errors


def _between(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
