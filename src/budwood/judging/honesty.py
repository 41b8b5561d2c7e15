"""What a classifier's probabilities and its "unknown" came to on photos that it was judged on.

Three things are told apart: whether its probabilities mean what they say, what it answers and how
often that is wrong where it may abstain, and how many photos of its own classes it takes for none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.intervals import accuracy_interval
from budwood.judging.calibration import Reliability, reliability, softmax
from budwood.judging.metrics import Evaluation
from budwood.judging.selective import SelectiveResult, SelectiveRule, applied
from budwood.judging.strangeness import COVERAGE
from budwood.judging.trust import Trust
from budwood.text import percent


@displayed
@dataclass(frozen=True)
class Honesty:
    """How far a classifier could be taken at its word on labelled photos.

    Example:
        >>> sure = np.array([[2.0, 0.0]] * 40)
        >>> print(honesty_of(None, sure, np.array([0] * 35 + [1] * 5), None))
        Probabilities are not calibrated. Confidence is 0.6 points above accuracy (95 % interval \
-9.8 to 11.0); expected calibration error 0.006, a perfect classifier shows 0.006 to 0.106 on as \
many images.
    """

    temperature: float | None
    """What logits are divided by; None if probabilities are not calibrated."""
    reliability: Reliability
    photos: int
    strange: int | None
    """Photos that were called out of distribution; None if that is not known."""
    strange_interval: tuple[float, float] | None = None
    """The 95 % interval of their share."""
    selective: SelectiveResult | None = None
    """Where abstaining was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The objects `calibration`, `strange` and `abstain` of `train --json` and
        `evaluate --json`; see docs/json.md."""
        return {
            "calibration": {"temperature": self.temperature, **self.reliability.to_json()},
            "strange": self._strange(),
            "abstain": self.selective and self.selective.to_json(),
        }

    def __str__(self) -> str:
        how = (
            "Probabilities are not calibrated"
            if self.temperature is None
            else f"Probabilities are calibrated (temperature {self.temperature:.2f})"
        )
        lines = [f"{how}. {self.reliability}"]
        if self.selective is not None:
            lines.append(str(self.selective))
        if self.strange is not None:
            lines.append(
                f"{self.strange} of {self.photos} photos ({percent(self.strange / self.photos)}) "
                f"were called out of distribution; about {percent(1 - COVERAGE)} are to be "
                "expected."
            )
        return "\n".join(lines)

    def _strange(self) -> dict[str, Any] | None:
        if self.strange is None or self.strange_interval is None:
            return None
        return {
            "photos": self.photos,
            "called": self.strange,
            "share": self.strange / self.photos,
            "interval": list(self.strange_interval),
            "expected": round(1 - COVERAGE, 6),
        }


@displayed
@dataclass(frozen=True)
class Verdict:
    """What a classifier came to on labelled photos."""

    evaluation: Evaluation
    honesty: Honesty
    right: NDArray[np.bool_]
    """Which of the photos, in their order, it names rightly."""


def honesty_of(
    trust: Trust | None,
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    strange: NDArray[np.bool_] | None,
    rule: SelectiveRule | None = None,
    groups: NDArray[np.integer] | None = None,
) -> Honesty:
    """What a classifier's probabilities and its "unknown" come to on labelled photos.

    Args:
        trust: What held-out photos said of it.
        logits: `n k`, as the network gave them.
        labels: `n`.
        strange: `n`, which photos it calls out of distribution.
        rule: Which photos it answers, where abstaining is asked for.
        groups: `n`; None: each photo stands for itself.

    Raises:
        DataError: If there are no photos.
    """
    probabilities = softmax(logits, 1.0 if trust is None else trust.temperature)
    return Honesty(
        None if trust is None else trust.temperature,
        reliability(probabilities, labels, groups),
        len(labels),
        None if strange is None else int(strange.sum()),
        None if strange is None else accuracy_interval(strange, groups),
        None if rule is None else applied(rule, probabilities, labels, strange, groups),
    )
