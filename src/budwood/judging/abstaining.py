"""When a classifier should say "unknown": at a promised rate of error among what it does answer.

The photos that it is least sure of are left unanswered. Where to draw the line is read off photos
that it has not learned from, sorted by confidence: the line that answers most of them and keeps the
promise even if the true rate of error is one standard error above what was seen. Without that
margin the line would lie where these photos were lucky, and break the promise on the next ones.

References: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017
(a promise with a margin for chance). With no error seen, the margin is one error in one photo more,
as in Angelopoulos et al., "Conformal Risk Control", ICLR 2024.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import ConfigError, DataError
from budwood.intervals import wilson_interval


@dataclass(frozen=True)
class Answering:
    """From which confidence on a classifier answers, and what that came to on held-out photos.

    Example:
        >>> print(Answering(0.02, threshold=0.7, photos=500, answered=450, wrong=7))
        answers from a confidence of 0.700 on: 90.0 % of 500 held-out photos, 1.6 % of them wrong \
(at most 2.0 % promised)
    """

    promised: float
    """The rate of error that answered photos are to have at most."""
    threshold: float
    """The least confidence that is answered; above 1 if no line keeps the promise."""
    photos: int
    """Held-out photos that the line was read off."""
    answered: int
    """Of these."""
    wrong: int
    """Of these."""

    @property
    def coverage(self) -> float:
        """The share of held-out photos that is answered."""
        return self.answered / self.photos

    def answers(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which photos, `n k`, are answered."""
        sure: NDArray[np.bool_] = probabilities.max(1) >= self.threshold
        return sure

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "promised": self.promised,
            "threshold": self.threshold,
            "photos": self.photos,
            "answered": self.answered,
            "wrong": self.wrong,
        }

    def __str__(self) -> str:
        if not self.answered:
            return (
                f"answers nothing: {self.photos} held-out photos are too few, or too many of them "
                f"wrong, to promise at most {100 * self.promised:.1f} %"
            )
        return (
            f"answers from a confidence of {self.threshold:.3f} on: {100 * self.coverage:.1f} % of "
            f"{self.photos} held-out photos, {100 * self.wrong / self.answered:.1f} % of them "
            f"wrong (at most {100 * self.promised:.1f} % promised)"
        )


@dataclass(frozen=True)
class Kept:
    """What became of a promise on other photos."""

    photos: int
    answered: int
    wrong: int

    @property
    def error(self) -> float | None:
        """The share of answered photos that is wrong; None if none is answered."""
        return self.wrong / self.answered if self.answered else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of it."""
        return wilson_interval(self.wrong, self.answered) if self.answered else None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "photos": self.photos,
            "answered": self.answered,
            "coverage": self.answered / self.photos if self.photos else None,
            "wrong": self.wrong,
            "error": self.error,
            "interval": self.interval and list(self.interval),
        }


def answering_for(
    rate: float, probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> Answering:
    """The line above which the error is at most `rate`, and that answers most.

    Args:
        rate: The promise, for example 0.02.
        probabilities: `n k` of photos that the classifier was not fitted to, calibrated or not.
        labels: Their classes.

    Raises:
        ConfigError: If `rate` is not between 0 and 1.
        DataError: If there are no photos.

    Example:
        >>> p = np.array([[0.99, 0.01]] * 60 + [[0.6, 0.4]] * 2)
        >>> answering = answering_for(0.02, p, np.array([0] * 60 + [0, 1]))
        >>> answering.threshold, answering.answered
        (0.99, 60)
    """
    require_rate(rate)
    if not len(labels):
        raise DataError("Nothing can be promised without photos.")
    confidence = probabilities.max(1)
    wrong = probabilities.argmax(1) != labels
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(wrong[order])
    answered = np.arange(1, len(labels) + 1)
    ends = np.append(np.diff(confidence[order]) != 0, True)  # equal confidence, equal fate
    kept = ends & (standard_error_above(errors, answered) <= rate)
    if not kept.any():
        return Answering(rate, 2.0, len(labels), 0, 0)
    last = int(np.flatnonzero(kept)[-1])
    line = float(confidence[order][last])
    return Answering(rate, line, len(labels), last + 1, int(errors[last]))


def standard_error_above(
    wrong: NDArray[np.integer], answered: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Rates of error one standard error above those seen: the upper ends of Wilson's intervals.

    Example:
        >>> standard_error_above(np.array([0, 2]), np.array([99, 100])).round(4)
        array([0.01  , 0.0395])
    """
    share, n = wrong / answered, answered.astype(np.float64)
    reach = np.sqrt(share * (1 - share) / n + 1 / (4 * n**2))
    above: NDArray[np.float64] = (share + 1 / (2 * n) + reach) / (1 + 1 / n)
    return above


def require_rate(rate: float) -> None:
    """Nothing, if this is a rate of error that can be promised.

    Raises:
        ConfigError: If it is not between 0 and 1.
    """
    if not 0 < rate < 1:
        raise ConfigError(
            f"The rate of error is {rate}.", expected="It must lie between 0 and 1, such as 0.02."
        )


def kept_promise(
    answering: Answering, probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> Kept:
    """What the line comes to on photos that it was not read off."""
    answered = answering.answers(probabilities)
    wrong = probabilities.argmax(1) != labels
    return Kept(len(labels), int(answered.sum()), int((wrong & answered).sum()))
