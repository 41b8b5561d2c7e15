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

from budwood.errors import ConfigError
from budwood.judging.abstaining import Answering, answering_for
from budwood.judging.calibration import fit_temperature, softmax
from budwood.judging.strangeness import Familiar, familiar

MOST = 20_000
"""Held-out photos that are kept in a capsule."""
MOST_FEATURES = 2**24
"""Features, of all photos together, from which it is learned what is familiar."""
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
    held_out_labels: NDArray[np.integer],
    labels: NDArray[np.integer],
    features_of: Callable[[NDArray[np.integer]], NDArray[np.floating]],
) -> Trust:
    """What held-out logits and the features of the training photos say of a classifier.

    Args:
        held_out: `n k`, logits of photos by a classifier that has not learned from them.
        held_out_labels: `n`, their classes.
        labels: `m`, the classes of the training photos.
        features_of: Features of some of the training photos, by position.

    Raises:
        DataError: If there are no photos, or fewer than two training photos.
    """
    temperature = fit_temperature(held_out, held_out_labels)
    probabilities = softmax(held_out, temperature)
    wrong = probabilities.argmax(1) != held_out_labels
    kept = _spread(len(held_out_labels), MOST)
    width = features_of(np.zeros(1, np.int64)).shape[1]
    some = _spread(len(labels), max(2, MOST_FEATURES // width))
    return Trust(
        temperature,
        probabilities.max(1)[kept].astype(np.float32),
        wrong[kept],
        familiar(features_of(some), labels[some]),
    )


def answering_of(trust: Trust | None, rate: float, whose: str = "This classifier") -> Answering:
    """From which confidence on a classifier answers, so that its error is at most `rate`.

    Args:
        trust: What held-out photos said of it.
        rate: The promise, for example 0.02.
        whose: What the error calls it.

    Raises:
        ConfigError: If it cannot abstain, or `rate` is not between 0 and 1.
    """
    if trust is None:
        raise ConfigError(
            f"{whose} cannot tell when to abstain: no photo was held out of its training.",
            next="Train it again, with --val 0.2 or on more photos.",
        )
    return trust.answering(rate)


def trust_in(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Trust | None:
    """What a capsule says of it; None of one that says nothing."""
    said = about.get("trust")
    return None if said is None else Trust.from_parts(said, arrays)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of `n` positions, evenly spread."""
    return np.linspace(0, n - 1, min(most, n)).astype(np.int64)
