"""Whether a classifier's probabilities mean what they say, and how they are made to.

A network that says 0.9 should be right nine times in ten. One number, the temperature, by which all
logits are divided, mends most of what is wrong, and changes no prediction. It is fitted to images
that the classifier has not learned from.

Two things keep a few images from speaking for many. One wrong answer is added, spread over all
images: of 30 that are all right no more than 31 in 32 is believed, as by Laplace's rule. And the
temperature is drawn towards 1, so that answers which say nothing give a number, not a bound.
Groups of images count as the independent images that they are worth.

References: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Platt, "Probabilistic
outputs for support vector machines", 1999 (smoothed targets). Bröcker and Smith, "Increasing the
reliability of reliability diagrams", Weather and Forecasting 2007 (the band of a perfect forecast).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import exp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.intervals import accuracy_interval, effective_size, mean_interval

BINS = 10
"""Bins of a reliability diagram, equally wide."""
DRAWS = 400
"""Imagined sets of labels that tell what a perfectly calibrated classifier would show."""
SPREAD = 2.0
"""Standard deviation of the logarithm of the temperature, before any image has been seen."""
FARTHEST = 50.0
"""A logarithm of the temperature that no data and no prior reach."""
STEPS, TOLERANCE = 60, 1e-7
"""Newton's steps at most, and the change of the logarithm that ends them."""


@dataclass(frozen=True)
class Bin:
    """The photos whose confidence lies in one part of 0 to 1."""

    low: float
    high: float
    images: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    """Share of them that is right."""
    interval: tuple[float, float]
    """The 95 % interval of that."""


@dataclass(frozen=True)
class Reliability:
    """How far confidence and accuracy lie apart.

    Example:
        >>> p = np.array([[0.9, 0.1]] * 200)
        >>> print(reliability(p, np.array([0] * 170 + [1] * 30)))
        Confidence is 5.0 points above accuracy (95 % interval 0.0 to 10.0); expected calibration \
error 0.050, a perfect classifier shows 0.000 to 0.045 on as many images.
    """

    bins: tuple[Bin, ...]
    """Bins that hold photos, least confident first."""
    error: float
    """Expected calibration error: the mean gap, each bin counted by its photos."""
    band: tuple[float, float]
    """Where this error lies in 95 % of cases if the classifier is perfectly calibrated."""
    gap: float
    """Mean confidence less accuracy: above 0, it is too sure."""
    gap_interval: tuple[float, float]
    """The 95 % interval of that."""

    def to_json(self) -> dict[str, Any]:
        """The object `calibration` of `train --json` and `evaluate --json`; see docs/json.md."""
        return {
            "ece": self.error,
            "ece_if_perfect": list(self.band),
            "overconfidence": self.gap,
            "overconfidence_interval": list(self.gap_interval),
            "bins": [asdict(b) | {"interval": list(b.interval)} for b in self.bins],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Reliability":
        """What `to_json` gave, again."""
        bins = (Bin(**{**b, "interval": tuple(b["interval"])}) for b in plain["bins"])
        return cls(
            tuple(bins),
            plain["ece"],
            (plain["ece_if_perfect"][0], plain["ece_if_perfect"][1]),
            plain["overconfidence"],
            (plain["overconfidence_interval"][0], plain["overconfidence_interval"][1]),
        )

    def __str__(self) -> str:
        low, high = (100 * end for end in self.gap_interval)
        where = "above" if self.gap >= 0 else "below"
        if self.gap < 0:
            low, high = -high, -low
        return (
            f"Confidence is {100 * abs(self.gap):.1f} points {where} accuracy (95 % interval "
            f"{low:.1f} to {high:.1f}); expected calibration error {self.error:.3f}, a perfect "
            f"classifier shows {self.band[0]:.3f} to {self.band[1]:.3f} on as many images."
        )


def fit_temperature(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> float:
    """The most probable temperature by logits `n k` of images that the classifier was not fitted
    to.

    Example:
        >>> sure = np.array([[4.0, 0.0]] * 400)
        >>> round(fit_temperature(sure, np.array([0, 0, 0, 1] * 100)), 1)  # right 3 times in 4
        3.6
        >>> temperature = fit_temperature(sure[:30], np.zeros(30, int))  # 30 images, all right
        >>> round(softmax(sure[:30], temperature)[0, 0], 2), round(31 / 32, 2)
        (np.float64(0.97), 0.97)
    """
    if not len(labels):
        raise DataError("Probabilities cannot be calibrated without photos.")
    scores = logits.astype(np.float64)
    n, k = scores.shape
    size = effective_size(scores.argmax(1) == labels, groups)
    doubt = 1 / (size + 2)  # the share of a wrong answer that each image gets
    own = scores[np.arange(n), labels]
    others = (scores.sum(1) - own) / max(1, k - 1)
    target = (1 - doubt) * own + doubt * others
    low, high, at = -FARTHEST, FARTHEST, 0.0
    for _ in range(STEPS):  # `at` is the logarithm of what logits are multiplied with
        cold = exp(at)
        p = softmax(scores, 1 / cold)
        mean = (p * scores).sum(1)
        variance = (p * scores**2).sum(1) - mean**2
        gradient = size * cold * float((mean - target).mean()) + at / SPREAD**2
        curvature = (
            size * cold * float((mean - target).mean() + cold * variance.mean()) + 1 / SPREAD**2
        )
        low, high = (low, at) if gradient > 0 else (at, high)
        step = at - gradient / curvature if curvature > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - at) <= TOLERANCE:
            break
        at = step
    return exp(-at)


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities `n k` of logits that are divided by the temperature first."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def reliability(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> Reliability:
    """How far confidence and accuracy lie apart: in ten bins of equal width, and on the whole.

    Example:
        >>> p = np.array([[0.75, 0.25]] * 4)
        >>> reliability(p, np.array([0, 0, 0, 1])).error
        0.0
    """
    if not len(labels):
        raise DataError("There are no photos to tell reliability from.")
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    images = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, confidence, BINS)
    hits = np.bincount(place, right, BINS)
    gap, low, high = mean_interval(confidence - right, groups)
    bins = tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            images=int(images[i]),
            confidence=float(sure[i] / images[i]),
            accuracy=float(hits[i] / images[i]),
            interval=accuracy_interval(
                right[place == i], None if groups is None else groups[place == i]
            ),
        )
        for i in np.flatnonzero(images).tolist()
    )
    return Reliability(
        bins,
        float(np.abs(hits - sure).sum()) / len(labels),
        _band(confidence, right, place, groups),
        gap,
        (low, high),
    )


def _band(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    place: NDArray[np.int64],
    groups: NDArray[np.integer] | None,
) -> tuple[float, float]:
    """Where 95 % of expected calibration errors lie if each image is right as often as is said.

    Images of a group are drawn to be right together as often as these are.
    """
    n = len(confidence)
    random = np.random.default_rng(0)
    own = np.unique(groups, return_inverse=True)[1] if groups is not None else np.arange(n)
    sure = np.bincount(place, confidence, BINS)
    shared = _agreement(confidence - right, groups)
    errors = np.empty(DRAWS)
    for draw in range(DRAWS):
        luck = random.random(n)
        if shared:
            of_group = random.random(int(own.max()) + 1)[own]
            luck = np.where(random.random(n) < np.sqrt(shared), of_group, luck)
        imagined = np.bincount(place, luck < confidence, BINS)
        errors[draw] = np.abs(imagined - sure).sum() / n
    low, high = np.quantile(errors, [0.025, 0.975])
    return float(low), float(high)


def _agreement(residual: NDArray[np.float64], groups: NDArray[np.integer] | None) -> float:
    """How strongly members of a group agree, 0 to 1: what their effective size comes from."""
    if groups is None:
        return 0.0
    n = len(residual)
    sizes = np.unique(groups, return_counts=True)[1]
    beyond = float((sizes * (sizes - 1)).sum()) / n
    return (n / effective_size(residual, groups) - 1) / beyond if beyond else 0.0
