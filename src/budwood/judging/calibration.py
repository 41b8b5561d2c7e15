"""Whether a classifier's probabilities can be taken at their word, and how they are made so.

A network that says 0.9 should be right nine times in ten. One number, the temperature, by which all
logits are divided, mends most of what is wrong, and changes no prediction. It is fitted to photos
that the classifier has not learned from.

References: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Bröcker, "Estimating
reliability and resolution of probability forecasts through decomposition of the empirical score",
Climate Dynamics 2012 (why few photos make the error look larger than it is).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.judging.intervals import wilson_interval

BINS = 10
"""Bins of a reliability diagram, equally wide."""
DRAWS = 200
"""Imagined sets of labels from which the error of a perfectly calibrated classifier is found."""
COLDEST, HOTTEST = 0.02, 50.0
"""Temperatures between which the best is sought."""
STEPS, CLOSE = 60, 1e-7
"""Newton's steps at most, and the part of the result that the last one may change."""


@dataclass(frozen=True)
class Bin:
    """The photos whose confidence lies in one part of 0 to 1."""

    low: float
    high: float
    photos: int
    confidence: float
    """Mean probability of the predicted class."""
    accuracy: float
    """Share of them that is right."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of that."""


@dataclass(frozen=True)
class Reliability:
    """How far confidence and accuracy lie apart."""

    bins: tuple[Bin, ...]
    """Those that hold photos, least confident first."""
    error: float
    """Expected calibration error: the mean gap, each bin counted by its photos."""
    by_chance: float
    """The error that so few photos would show on average if the classifier were perfect."""

    @property
    def debiased(self) -> float:
        """The error less what chance alone explains; at least 0."""
        return max(0.0, self.error - self.by_chance)

    def to_json(self) -> dict[str, Any]:
        """The object `calibration` of `train --json` and `evaluate --json`; see docs/json.md."""
        return {
            "ece": self.error,
            "ece_by_chance": self.by_chance,
            "ece_debiased": self.debiased,
            "bins": [
                {
                    "low": b.low,
                    "high": b.high,
                    "photos": b.photos,
                    "confidence": b.confidence,
                    "accuracy": b.accuracy,
                    "interval": list(b.interval),
                }
                for b in self.bins
            ],
        }


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature at which these photos' labels are most likely.

    Args:
        logits: `n k` of photos that the classifier was not fitted to.
        labels: Their classes.

    Raises:
        DataError: If there are no photos.

    Example:
        >>> sure = np.array([[4.0, 0.0]] * 4)
        >>> round(fit_temperature(sure, np.array([0, 0, 0, 1])), 2)  # right 3 times in 4
        3.64
    """
    if not len(labels):
        raise DataError("Probabilities cannot be calibrated without photos.")
    scores = logits.astype(np.float64)
    own = scores[np.arange(len(labels)), labels]
    low, high, cold = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(STEPS):  # the loss is convex in what logits are multiplied with
        p = softmax(scores, 1 / cold)
        mean = (p * scores).sum(1)
        slope = float((mean - own).mean())
        bend = float(((p * scores**2).sum(1) - mean**2).mean())
        low, high = (low, cold) if slope > 0 else (cold, high)
        step = cold - slope / bend if bend > 0 else low
        step = step if low < step < high else sqrt(low * high)
        if abs(step - cold) <= CLOSE * cold:
            break
        cold = step
    return 1 / cold


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities `n k` of logits that are divided by the temperature first."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def reliability(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], seed: int = 0
) -> Reliability:
    """How far confidence and accuracy lie apart, in ten bins of equal width.

    Args:
        probabilities: `n k`.
        labels: `n`, the true classes.
        seed: Of the draws that tell what chance alone would show.

    Raises:
        DataError: If there are no photos.

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
    photos = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, confidence, BINS)
    hits = np.bincount(place, right, BINS)
    random = np.random.default_rng(seed)
    by_chance = 0.0
    for _ in range(DRAWS):  # were confidence the truth, each photo would be right that often
        imagined = np.bincount(place, random.random(len(labels)) < confidence, BINS)
        by_chance += float(np.abs(imagined - sure).sum()) / len(labels) / DRAWS
    bins = tuple(
        Bin(
            low=i / BINS,
            high=(i + 1) / BINS,
            photos=int(photos[i]),
            confidence=float(sure[i] / photos[i]),
            accuracy=float(hits[i] / photos[i]),
            interval=wilson_interval(int(hits[i]), int(photos[i])),
        )
        for i in np.flatnonzero(photos).tolist()
    )
    return Reliability(bins, float(np.abs(hits - sure).sum()) / len(labels), by_chance)
