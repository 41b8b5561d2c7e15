"""When a classifier should say "unknown": selective prediction at a target error rate.

An image is answered if its most probable class is probable enough and the image is not out of
distribution. That is the one rule: training, evaluation, prediction and report apply this object.

The threshold is read off images that the classifier has not learned from, by fixed-sequence
testing. They are sorted by confidence; at numbers of images that are fixed beforehand it is tested,
from the most confident on, whether the error of all above is at most the target. The tests are
exact (binomial), each at the same level, and the first that fails ends the sequence: so with 90 %
confidence the error on new images is at most the target, however many thresholds were tried. Images
of one group count as the independent images that they are worth.

References: Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", NeurIPS 2017.
Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test", 2021 (fixed-sequence testing).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import ConfigError, DataError
from budwood.intervals import accuracy_interval, effective_size
from budwood.text import percent

CONFIDENCE = 0.9
"""How often a threshold keeps the error on new images at or below the target."""
TOLERATED = 4
"""Errors that the first test tolerates, if half of the images are enough for that: a sequence that
began where no error is allowed would often end at once by bad luck."""
STEP = 1.03
"""Factor by which the number of images grows from one test to the next."""
NEVER = 2.0
"""A threshold that no confidence reaches."""
UNSURE, OOD = "too unsure", "out of distribution"
"""Why an image is unknown."""


@displayed
@dataclass(frozen=True)
class SelectiveRule:
    """Which images a classifier answers at a target error rate, and what that came to on held-out
    images.

    Example:
        >>> print(SelectiveRule(0.02, threshold=0.7, images=500, answered=450, wrong=4))
        target error 2.0 % with 90 % confidence: it answers from a confidence of 0.700 on, 90.0 % \
of 500 held-out images, 0.9 % of them wrong
    """

    target_error: float
    """What the share of wrong answers is to be at most."""
    threshold: float
    """The least confidence that is answered; above 1 if no threshold reaches the target."""
    images: int
    """Held-out images that the threshold was read off."""
    answered: int
    """Images among them that are answered."""
    wrong: int
    """Answered images that are wrong."""

    @property
    def coverage(self) -> float:
        """The share of held-out images that is answered."""
        return self.answered / self.images

    def reasons(
        self, probabilities: NDArray[np.floating], ood: NDArray[np.bool_] | None
    ) -> list[str | None]:
        """Why each image is unknown, by calibrated probabilities `n k`; None of one that is
        answered.

        Example:
            >>> rule = SelectiveRule(0.02, threshold=0.7, images=500, answered=450, wrong=4)
            >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.9, 0.1]])
            >>> rule.reasons(p, np.array([False, False, True]))
            [None, 'too unsure', 'out of distribution']
        """
        sure = probabilities.max(1) >= self.threshold
        far = np.zeros(len(sure), np.bool_) if ood is None else ood
        return [
            OOD if is_far else None if is_sure else UNSURE
            for is_far, is_sure in zip(far.tolist(), sure.tolist(), strict=True)
        ]

    def answers(
        self, probabilities: NDArray[np.floating], ood: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Which images are answered, `n`."""
        return np.array([why is None for why in self.reasons(probabilities, ood)], np.bool_)

    def to_json(self) -> dict[str, Any]:
        """As plain values; part of the object `abstain`, see docs/json.md."""
        return {
            "target_error": self.target_error,
            "confidence": CONFIDENCE,
            "threshold": self.threshold,
            "images": self.images,
            "covered": self.answered,
            "errors": self.wrong,
        }

    def __str__(self) -> str:
        target = (
            f"target error {percent(self.target_error)} with {100 * CONFIDENCE:.0f} % confidence"
        )
        if not self.answered:
            return (
                f"{target}: it answers nothing, {self.images} held-out images are too few, or too "
                "many of them wrong, to show that it can be reached"
            )
        return (
            f"{target}: it answers from a confidence of {self.threshold:.3f} on, "
            f"{percent(self.coverage)} of {self.images} held-out images, "
            f"{percent(self.wrong / self.answered)} of them wrong"
        )


@displayed
@dataclass(frozen=True)
class SelectiveResult:
    """What a rule came to on labelled images that it was not read off."""

    rule: SelectiveRule
    images: int
    answered: int
    wrong: int
    """Answered images that are wrong."""
    ood: int
    """Images that are not answered because they are out of distribution."""
    interval: tuple[float, float] | None
    """The 95 % interval of the error; None if nothing is answered."""

    @property
    def error(self) -> float | None:
        """The share of answered images that is wrong; None if none is answered."""
        return self.wrong / self.answered if self.answered else None

    def to_json(self) -> dict[str, Any]:
        """The object `abstain` of `train --json` and `evaluate --json`; see docs/json.md."""
        return self.rule.to_json() | {
            "test": {
                "images": self.images,
                "covered": self.answered,
                "coverage": self.answered / self.images if self.images else None,
                "low_confidence": self.images - self.answered - self.ood,
                "ood": self.ood,
                "errors": self.wrong,
                "selective_error": self.error,
                "interval": self.interval and list(self.interval),
            }
        }

    def __str__(self) -> str:
        if not self.rule.answered:
            return f"Abstaining, {self.rule}."
        unsure = self.images - self.answered - self.ood
        left = f"{unsure} are too unsure, {self.ood} out of distribution"
        if self.error is None or self.interval is None:
            return f"Abstaining, it answers none of the {self.images} images: {left}."
        low, high = self.interval
        return (
            f"Abstaining, it answers {percent(self.answered / self.images)} of the {self.images} "
            f"images ({left}); {percent(self.error)} of the answers are wrong (95 % interval "
            f"{percent(low)} to {percent(high)}). The target error is "
            f"{percent(self.rule.target_error)}, with {100 * CONFIDENCE:.0f} % confidence."
        )


def fit_rule(
    target_error: float,
    confidence: NDArray[np.floating],
    wrong: NDArray[np.bool_],
    ood: NDArray[np.bool_] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> SelectiveRule:
    """The rule that answers most images while its error on new ones is, with 90 % confidence, at
    most the target.

    `confidence` is the probability of the predicted class of images that the classifier was not
    fitted to, and `wrong` whether that class is wrong. Images out of distribution are not answered.

    Example:
        >>> confidence = np.array([0.99] * 300 + [0.6] * 9)
        >>> rule = fit_rule(0.02, confidence, np.array([False] * 300 + [True] * 9))
        >>> rule.threshold, rule.answered
        (0.99, 300)
    """
    require_target(target_error)
    n = len(wrong)
    if not n:
        raise DataError("A threshold cannot be read off no photos.")
    known = np.ones(n, np.bool_) if ood is None else ~ood
    order = np.flatnonzero(known)[np.argsort(-confidence[known], kind="stable")]
    sure = confidence[order].astype(np.float64)
    errors = np.concatenate([[0], np.cumsum(wrong[order])])
    own = None if groups is None else groups[order]
    # Of equal confidence all are answered or none, and so they are tested together.
    ends = np.searchsorted(-sure, -sure, side="right")
    passed = 0
    for number in np.unique(ends[np.array(_numbers(target_error, len(order)), int) - 1]).tolist():
        some = wrong[order[:number]]
        size = effective_size(some, None if own is None else own[:number])
        if not _is_below(target_error, float(errors[number]) * size / number, size):
            break
        passed = number
    if not passed:
        return SelectiveRule(target_error, NEVER, n, 0, 0)
    return SelectiveRule(target_error, float(sure[passed - 1]), n, passed, int(errors[passed]))


def require_target(target_error: float) -> None:
    """Raise unless this can be a target error rate."""
    if not 0 < target_error < 1:
        raise ConfigError(
            f"The target error rate is {target_error}.",
            expected="It must lie between 0 and 1, such as 0.02.",
        )


def applied(
    rule: SelectiveRule,
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    ood: NDArray[np.bool_] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> SelectiveResult:
    """What a rule comes to on labelled images, by their calibrated probabilities `n k`."""
    reasons = rule.reasons(probabilities, ood)
    answered = np.array([why is None for why in reasons], np.bool_)
    wrong = (probabilities.argmax(1) != labels)[answered]
    own = None if groups is None else groups[answered]
    return SelectiveResult(
        rule,
        len(labels),
        int(answered.sum()),
        int(wrong.sum()),
        reasons.count(OOD),
        accuracy_interval(wrong, own) if len(wrong) else None,
    )


@lru_cache(maxsize=64)
def _numbers(target: float, n: int) -> list[int]:
    """The numbers of images at which the error is tested: they depend on nothing that was seen."""
    level = 1 - CONFIDENCE
    first = ceil(log(level) / log(1 - target))
    for tolerated in range(1, TOLERATED + 1):
        later = first
        while not _is_below(target, tolerated, later):
            later += 1
        if later > n / 2:
            break
        first = later
    numbers = []
    while first < n:
        numbers.append(first)
        first = max(first + 1, ceil(first * STEP))
    return [*numbers, n] if n else []


def _is_below(target: float, errors: float, n: float) -> bool:
    """True if so few errors among `n` images would be seen with a probability of a tenth at most,
    were the error rate above the target: the exact binomial test (Clopper and Pearson).

    Effective numbers are rounded to the safe side. The sum is written out, since importing SciPy
    takes longer than predicting an image.
    """
    whole, wrong = floor(n + 1e-9), ceil(errors - 1e-9)
    if wrong >= whole:
        return False
    j = np.arange(wrong)
    ratios = np.log((whole - j) / (j + 1)) + log(target / (1 - target))
    terms = whole * log1p(-target) + np.concatenate([[0.0], np.cumsum(ratios)])
    return float(np.exp(terms).sum()) <= 1 - CONFIDENCE
