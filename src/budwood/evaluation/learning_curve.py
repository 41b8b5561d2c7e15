"""What more images would bring: accuracy by the number of training images, and a forecast.

Errors fall to a floor, and what is above it falls like a power of the number of images. The
forecast starts from the error with all images that can be learned from. Only the share of it that
falls is estimated, from differences between sizes on the same judged images: that some images are
hard cancels out in them. It is shrunk towards the usual share, the more the less these images say.

Beside it stands the naive forecast, that accuracy stays as it is. It stands alone where there are
too few sizes or groups, where the last doubling brought no more than chance allows, so that the
curve may have reached its floor, and where forecasts of the curve's own sizes from smaller ones
were worse than naive.

An interval is for the accuracy on new images of the same kind, of new groups. Its variance is that
of the judged images, sampled in whole groups, and that of draws of folds and parts. Draws share
most of their images, and so their variance alone would be too small: Nadeau and Bengio scale it up.
That is not done here, because the variance of the images is measured and added. With both, the
errors of simulated samples vary as much as is said; scaled up, twice as much would be said.

References: Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017; Viering and
Loog, "The Shape of Learning Curves: a Review", 2021; Nadeau and Bengio, "Inference for the
Generalization Error", Machine Learning 2003; Zou and Donner, "Construction of confidence limits
about effect measures", Statistics in Medicine 2008 (an interval from those of two parts).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import DataError
from budwood.features.rows import RowSource
from budwood.intervals import Z, effective_size, wilson_interval
from budwood.learning.training_sizes import PartialFit, partial_fits
from budwood.tensors import Features, Labels
from budwood.text import aligned

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Parts of the training images: each twice the one before."""
POWER = 0.5
"""The exponent of the part of the error that more images take away: the usual rate of what is
estimated from a sample. With so few sizes no power can be told from a floor."""
FALLING, SPREAD, DRIFT = 0.4, 0.3, 0.1
"""Mean and standard deviation of the share of the error that falls, before anything is measured: on
logarithmic axes the error then falls with an exponent of 0.2 to within 0.15. Hestness et al. find
about 0.3 where networks are trained from scratch; linear heads on features of ImageNet have 0.2
(flowers and cats and dogs). The drift is the standard deviation of what the share is beyond the
sizes that were measured, since no curve is quite of this form (Viering and Loog)."""
CLEAR = 1.6448536269514722
"""Standard errors by which the last gain must be above zero: 95 %, one-sided."""
FEWEST = 3
"""Sizes without which there is no forecast."""
FEWEST_GROUPS = 20
"""Groups of images, or images that stand for themselves, without which there is none."""
MORE = 100
"""Images of each class that a forecast adds unless it is told otherwise."""


@displayed
@dataclass(frozen=True)
class Point:
    """What a classifier reaches that learned from some of the images."""

    share: float
    """A part of the images that could be learned from."""
    images: int
    """Images that it learned from."""
    top1: float
    """Accuracy on images that it has not seen."""
    interval: tuple[float, float]
    """95 % interval of the accuracy on new images."""
    draws: int
    """Times that folds and parts were drawn."""


@displayed
@dataclass(frozen=True)
class Forecast:
    """The accuracy to expect from more images, beside what it is if nothing changes."""

    images: int
    """To learn from, in all."""
    top1: float
    """The naive one where it cannot be forecast."""
    interval: tuple[float, float]
    """95 % interval of the accuracy on new images, or on so many of them as was asked for. Where it
    cannot be forecast it holds both no change and what usually comes."""
    naive: Point
    """The largest size that was measured: what stays if nothing changes."""
    reason: str | None = None
    """Why it cannot be forecast, a sentence; None if it can."""

    @property
    def is_useful(self) -> bool:
        """True if more is known than that accuracy stays as it is."""
        return self.reason is None


@displayed
@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of training images."""

    points: tuple[Point, ...]
    images: int
    """All images."""
    classes: int
    """Classes that have images."""
    judged: int
    """Images that each point is judged on."""
    groups: int
    """Groups of the judged images."""
    covariance: NDArray[np.float64]
    """`p p`, of the errors at the points, from judged images and draws."""

    def forecast(self, extra_per_class: int = MORE, judged_on: int | None = None) -> Forecast:
        """The accuracy with all these images and so many more of each class.

        With `judged_on`, the interval is to hold what will be measured on so many images, and so
        is wider; without, the accuracy on any number of them.
        """
        if not self.points:
            raise DataError(
                f"{self.images} photos are too few for a learning curve.",
                expected="Four fifths of them must hold two photos of each class.",
                next="Add photos.",
            )
        images, naive = self.images + extra_per_class * self.classes, self.points[-1]
        top1, interval = self._power_law().at(images)
        reason = self._reason()
        if reason is not None:
            top1 = naive.top1
            interval = naive.interval[0], max(naive.interval[1], interval[1])
        if judged_on is not None:
            interval = _measured(interval, top1, judged_on)
        return Forecast(images, top1, interval, naive, reason)

    def to_json(self) -> dict[str, Any]:
        """The object `learning_curve` of `train --json`; see docs/json.md."""
        more = self.forecast() if self.points else None
        return {
            "points": [
                {
                    "share": point.share,
                    "images": point.images,
                    "top1": point.top1,
                    "interval": list(point.interval),
                    "draws": point.draws,
                }
                for point in self.points
            ],
            "evaluated": self.judged,
            "groups": self.groups,
            "naive": more and {"top1": more.naive.top1, "interval": list(more.naive.interval)},
            "forecast": {
                "extra_per_class": MORE,
                "images": more.images,
                "top1": more.top1,
                "interval": list(more.interval),
            }
            if more and more.is_useful
            else None,
            "reason": self._reason(),
        }

    def __str__(self) -> str:
        if not self.points:
            return "There are too few photos for a learning curve."
        head = ("training photos", "top-1", "95 % interval")
        rows = [(str(p.images), f"{p.top1:.3f}", _between(p.interval)) for p in self.points]
        more = self.forecast()
        naive = more.naive
        said = (
            f"With {MORE} more photos of each class ({more.images} in all) expect {more.top1:.3f} "
            f"(95 % interval {_between(more.interval)}); if nothing changed it would stay at "
            f"{naive.top1:.3f}."
            if more.is_useful
            else f"What more photos would bring cannot be forecast. {more.reason} If nothing "
            f"changed it would stay at {naive.top1:.3f} (95 % interval {_between(naive.interval)})."
        )
        return (
            f"{aligned([head, *rows])}\n{said}\n"
            "Intervals are for the accuracy on new photos of the same kind; what one small test "
            "set shows varies more."
        )

    def _reason(self) -> str | None:
        """Why there is no forecast; None if there is one."""
        for number, least, noun in (
            (len(self.points), FEWEST, "sizes"),
            (self.groups, FEWEST_GROUPS, "groups"),
        ):
            if number < least:
                return f"The curve has {number} {noun} of at least {least} that it needs."
        half, whole = _last_doubling(self.points)
        gain = self.points[whole].top1 - self.points[half].top1
        contrast = np.zeros(len(self.points))
        contrast[[half, whole]] = -1, 1
        if gain <= CLEAR * sqrt(contrast @ self.covariance @ contrast):
            return (
                f"From {self.points[half].images} to {self.points[whole].images} photos accuracy "
                "rose no more than chance allows."
            )
        # Mean absolute errors where sizes from the third on are forecast from the smaller ones, and
        # of no change.
        forecast, stays = 0.0, 0.0
        for i in range(2, len(self.points)):
            predicted, _ = self._power_law(i).at(self.points[i].images)
            forecast += abs(predicted - self.points[i].top1) / (len(self.points) - 2)
            stays += abs(self.points[i - 1].top1 - self.points[i].top1) / (len(self.points) - 2)
        if forecast > stays:
            return (
                "Sizes forecast from smaller ones were further off than no change "
                f"({100 * forecast:.1f} against {100 * stays:.1f} points on average)."
            )
        return None

    def _power_law(self, sizes: int | None = None) -> "PowerLaw":
        """Through the last of the first points, or of all.

        The gradient is that of weighted least squares, shrunk towards the prior; a point counts in
        proportion to its number of images.
        """
        points, covariance = self.points[:sizes], self.covariance[:sizes, :sizes]
        n = np.array([point.images for point in points], float)
        errors = np.array([_smoothed(1 - point.top1, self.judged) for point in points])
        last = np.zeros(len(n))
        last[-1] = 1.0
        measured, weight, relative = 0.0, 0.0, -last
        if len(n) > 1:
            height = (n / n[-1]) ** -POWER
            residual = height - np.average(height, weights=n)
            slope = n * residual / (n @ residual**2)
            measured = float(slope @ errors) / float(errors[-1])
            relative = (slope - measured * last) / errors[-1]
            weight = SPREAD**2 / (SPREAD**2 + float(relative @ covariance @ relative))
        falling = weight * measured + (1 - weight) * FALLING
        error = sqrt((1 - weight) * SPREAD**2 + DRIFT**2)
        level = float(covariance[-1, -1]) / float(errors[-1]) ** 2
        shared = weight * float(relative @ covariance[:, -1]) / float(errors[-1])
        correlation = shared / (error * sqrt(level))
        return PowerLaw(
            points[-1], max(0.0, min(1.0, falling)), error, max(-1.0, min(1.0, correlation))
        )


@dataclass(frozen=True)
class PowerLaw:
    """Error of which a share falls like a power of the number of images, from a point on."""

    start: Point
    falling: float
    """Share of the starting point's error that falls; the rest is the floor."""
    error: float
    """Standard error of that share."""
    correlation: float
    """Correlation of that share with the logarithm of the starting point's error."""

    def at(self, images: int) -> tuple[float, tuple[float, float]]:
        """The accuracy with so many images, and its 95 % interval."""
        gone = 1 - (images / self.start.images) ** -POWER
        left = 1 - self.falling * gone
        level = 1 - self.start.top1
        slope = Z * self.error * abs(gone) / left
        ends = []
        for end, sign in zip(self.start.interval, (1, -1), strict=True):
            if level == 0 or end == 1:
                ends.append(end)
                continue
            reach = abs(log((1 - end) / level))
            both = reach**2 + slope**2 - 2 * self.correlation * reach * slope
            ends.append(1 - min(1.0, level * left * exp(sign * sqrt(max(0.0, both)))))
        return 1 - level * left, (ends[0], ends[1])


def learning_curve(
    rows: Features | RowSource,
    labels: Labels,
    num_classes: int,
    *,
    l2_strength: float,
    groups: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> LearningCurve:
    """Accuracy of a linear head that learns from parts of the images.

    The L2 strength is that of a probe fitted to all. Images of one group are held out together and
    learned from together. Parts of fewer than two images a class are passed over.
    """
    fits = list(
        partial_fits(
            rows, labels, num_classes, SHARES, l2_strength=l2_strength, groups=groups, seed=seed
        )
    )
    return curve_of(fits, labels.numpy(), groups)


def curve_of(
    fits: Sequence[PartialFit],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None,
) -> LearningCurve:
    """The learning curve that parts of rising size show."""
    images, classes = len(labels), len(np.unique(labels))
    if not fits:
        return LearningCurve((), images, classes, 0, 0, np.empty((0, 0)))
    misses = 1 - np.stack([fit.hits for fit in fits])  # p draws n
    judged = ~np.isnan(misses[0]).all(0)
    misses = misses[..., judged]
    own = None if groups is None else groups[judged]
    of_image = np.nanmean(misses, 1)  # p n
    of_draw = np.nanmean(misses, 2)  # p draws
    drawn = _draw_covariance(of_draw)
    points, sizes = [], []
    for fit, wrong, variance in zip(fits, of_image, np.diag(drawn), strict=True):
        size = effective_size(wrong, own)
        error = float(wrong.mean())
        spread = _smoothed(error, size) * (1 - _smoothed(error, size))
        known = spread / (spread / size + float(variance))
        interval = wilson_interval((1 - error) * known, known)
        points.append(Point(fit.share, fit.images, 1 - error, interval, misses.shape[1]))
        sizes.append(size)
    # One more image gained and one lost, in halves, as Agresti and Min do: where no image changed
    # sides it is not certain that none would.
    pseudo = np.diag(0.5 / np.array(sizes) ** 2)
    return LearningCurve(
        tuple(points),
        images,
        classes,
        judged=int(judged.sum()),
        groups=int(judged.sum()) if own is None else len(np.unique(own)),
        covariance=_image_covariance(of_image, own) + drawn + pseudo,
    )


def _last_doubling(points: Sequence[Point]) -> tuple[int, int]:
    """Places of the last point, and of the last before it with about half as many images."""
    last = len(points) - 1
    halves = [i for i in range(last) if points[i].images <= 0.6 * points[last].images]
    return (halves[-1] if halves else 0), last


def _image_covariance(
    misses: NDArray[np.float64], groups: NDArray[np.integer] | None
) -> NDArray[np.float64]:
    """Covariance `p p` of the mean over images, whose groups are sampled as wholes."""
    residual = misses - misses.mean(1, keepdims=True)
    if groups is not None:
        _, own = np.unique(groups, return_inverse=True)
        residual = np.stack([np.bincount(own, row) for row in residual])
    m = residual.shape[1]
    covariance: NDArray[np.float64] = (
        residual @ residual.T * m / max(1, m - 1) / misses.shape[1] ** 2
    )
    return covariance


def _draw_covariance(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance `p p` of the mean over draws of folds and parts."""
    p, draws = errors.shape
    covariance: NDArray[np.float64] = np.cov(errors).reshape(p, p) / draws
    return covariance


def _measured(interval: tuple[float, float], top1: float, n: int) -> tuple[float, float]:
    """What `n` images will show of an accuracy of which an interval is known."""
    low, high = wilson_interval(top1 * n, n)
    return (
        max(0.0, top1 - sqrt((top1 - interval[0]) ** 2 + (top1 - low) ** 2)),
        min(1.0, top1 + sqrt((interval[1] - top1) ** 2 + (high - top1) ** 2)),
    )


def _smoothed(error: float, size: float) -> float:
    """With half an error more, so that none at all has a logarithm and a variance."""
    return (error * size + 0.5) / (size + 1)


def _between(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
