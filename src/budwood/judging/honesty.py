"""How far a classifier could be taken at its word on photos that it was judged on.

Three things are told apart: whether its probabilities mean what they say, whether it keeps its
promise where it may say "unknown", and how many photos of its own classes it takes for none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.judging.abstaining import Answering, Kept, kept_promise
from budwood.judging.calibration import Reliability, reliability, softmax
from budwood.intervals import wilson_interval
from budwood.judging.metrics import Evaluation
from budwood.judging.strangeness import COVERAGE
from budwood.judging.trust import Trust


@dataclass(frozen=True)
class Promise:
    """What was promised on held-out photos, and what became of it on others."""

    answering: Answering
    kept: Kept

    def to_json(self) -> dict[str, Any]:
        """The object `abstain` of `train --json` and `evaluate --json`; see docs/json.md."""
        return self.answering.to_json() | {"test": self.kept.to_json()}

    def __str__(self) -> str:
        kept = self.kept
        if not self.answering.answered:
            return f"With --abstain it {self.answering}."
        if kept.error is None or kept.interval is None:
            return f"With --abstain it answers none of the {kept.photos} photos."
        low, high = kept.interval
        return (
            f"With --abstain it answers {_percent(kept.answered / kept.photos)} of the "
            f"{kept.photos} photos; {_percent(kept.error)} of the answers are wrong (95 % interval "
            f"{_percent(low)} to {_percent(high)}), at most "
            f"{_percent(self.answering.promised)} was promised."
        )


@dataclass(frozen=True)
class Honesty:
    """How far a classifier could be taken at its word on labelled photos.

    Example:
        >>> sure = np.array([[2.0, 0.0]] * 40)
        >>> print(honesty_of(None, sure, np.array([0] * 35 + [1] * 5), None))
        Probabilities are not calibrated; they are off by 0.6 points on average (ECE 0.006, of \
which chance explains 0.043).
    """

    temperature: float | None
    """What logits are divided by; None if probabilities are not calibrated."""
    reliability: Reliability
    photos: int
    strange: int | None
    """Photos that were called unlike all training photos; None if that is not known."""
    promise: Promise | None = None
    """Where abstaining was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The objects `calibration`, `strange` and `abstain` of `train --json` and
        `evaluate --json`; see docs/json.md."""
        return {
            "calibration": {"temperature": self.temperature, **self.reliability.to_json()},
            "strange": self._strange(),
            "abstain": self.promise and self.promise.to_json(),
        }

    def __str__(self) -> str:
        found = self.reliability
        how = (
            "Probabilities are not calibrated"
            if self.temperature is None
            else f"Probabilities are calibrated (temperature {self.temperature:.2f})"
        )
        lines = [
            f"{how}; they are off by {100 * found.error:.1f} points on average "
            f"(ECE {found.error:.3f}, of which chance explains {found.by_chance:.3f})."
        ]
        if self.promise is not None:
            lines.append(str(self.promise))
        if self.strange is not None:
            lines.append(
                f"{self.strange} of {self.photos} photos ({_percent(self.strange / self.photos)}) "
                f"were called unlike all training photos; about {_percent(1 - COVERAGE)} are to be "
                "expected."
            )
        return "\n".join(lines)

    def _strange(self) -> dict[str, Any] | None:
        if self.strange is None:
            return None
        return {
            "photos": self.photos,
            "called": self.strange,
            "share": self.strange / self.photos,
            "interval": list(wilson_interval(self.strange, self.photos)),
            "expected": round(1 - COVERAGE, 6),
        }


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
    answering: Answering | None = None,
) -> Honesty:
    """How far a classifier could be taken at its word on labelled photos.

    Args:
        trust: What held-out photos said of it.
        logits: `n k`, as the network gave them.
        labels: `n`.
        strange: `n`, which photos it called unlike all training photos.
        answering: From which confidence on it answers, where abstaining is asked for.

    Raises:
        DataError: If there are no photos.
    """
    probabilities = softmax(logits, 1.0 if trust is None else trust.temperature)
    promise = None
    if answering is not None:
        promise = Promise(answering, kept_promise(answering, probabilities, labels))
    return Honesty(
        None if trust is None else trust.temperature,
        reliability(probabilities, labels),
        len(labels),
        None if strange is None else int(strange.sum()),
        promise,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
