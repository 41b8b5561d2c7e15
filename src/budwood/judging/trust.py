"""How far a classifier's word can be taken, learned from photos held out of its training.

One temperature makes its probabilities mean what they say. How sure it was of held-out photos, and
whether it was right, tells from which confidence on it may answer at a promised rate of error. And
where the training photos lie tells which photos are of none of its classes. All of it is small and
travels in the capsule; nothing here needs torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.judging.abstaining import Answering, answering_for
from budwood.judging.calibration import fit_temperature, softmax
from budwood.judging.strangeness import Familiar, familiar

MOST = 20_000
"""Held-out photos that are kept in a capsule."""
PREFIX = "trust."
"""What the names of its tensors in a capsule begin with."""


@dataclass(frozen=True)
class Trust:
    """What held-out photos say of a classifier."""

    temperature: float
    """Logits are divided by it before they become probabilities."""
    confidence: NDArray[np.float32]
    """`n`, of held-out photos, calibrated."""
    wrong: NDArray[np.bool_]
    """`n`, whether the classifier was wrong there."""
    familiar: Familiar | None = None
    """Where the training photos lie; None where that is not known."""

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities `n k`."""
        return softmax(logits, self.temperature)

    def answering(self, rate: float) -> Answering:
        """From which confidence on the error is at most `rate`.

        Raises:
            ConfigError: If `rate` is not between 0 and 1.
        """
        sure = self.confidence.astype(np.float64)
        pretended = np.stack([sure, np.minimum(1 - sure, sure)], 1)
        return answering_for(rate, pretended, self.wrong.astype(int))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The parts that are arrays, by their names in a capsule."""
        found: dict[str, NDArray[Any]] = {
            "confidence": self.confidence,
            "wrong": self.wrong.astype(np.uint8),
        }
        if self.familiar is not None:
            found["means"] = self.familiar.means
            found["axes"] = self.familiar.axes
            found["deviations"] = self.familiar.deviations
        return {f"{PREFIX}{name}": values for name, values in found.items()}

    def to_json(self) -> dict[str, Any]:
        """The parts that are numbers, as they stand in a capsule."""
        known = self.familiar
        return {
            "temperature": self.temperature,
            "rest": known and known.rest,
            "limit": known and known.limit,
        }

    @classmethod
    def from_parts(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> "Trust":
        """What `to_json` and `arrays` gave, again."""

        def part(name: str) -> NDArray[Any]:
            return arrays[f"{PREFIX}{name}"]

        known = about["limit"] is not None
        return cls(
            float(about["temperature"]),
            part("confidence"),
            part("wrong").astype(bool),
            Familiar(part("means"), part("axes"), part("deviations"), about["rest"], about["limit"])
            if known
            else None,
        )


def learned_trust(
    held_out: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer],
    features_of: Callable[[NDArray[np.integer]], NDArray[np.floating]],
) -> Trust:
    """What held-out logits say of a classifier.

    Args:
        held_out: `n k`, logits of each training photo by a classifier that has not seen it.
        labels: `n`.
        folds: `n`, the part that each photo was held out with.
        features_of: Features `m d` of some of these photos, by position; strange photos are told
            by them.

    Raises:
        DataError: If there are no photos.
    """
    temperature = fit_temperature(held_out, labels)
    probabilities = softmax(held_out, temperature)
    wrong = probabilities.argmax(1) != labels
    some = np.linspace(0, len(labels) - 1, min(MOST, len(labels))).astype(int)
    halves = np.unique(folds, return_inverse=True)[1][some] % 2
    return Trust(
        temperature,
        probabilities.max(1)[some].astype(np.float32),
        wrong[some],
        familiar(features_of(some), labels[some], halves) if len(np.unique(halves)) > 1 else None,
    )


def trust_in(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Trust | None:
    """What a capsule says of it; None of one that says nothing."""
    said = about.get("trust")
    return None if said is None else Trust.from_parts(said, arrays)
