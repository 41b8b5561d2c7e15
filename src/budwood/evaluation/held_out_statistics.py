"""What a classifier says besides a class, learned from images held out of its training.

One temperature makes its probabilities mean what they say. How sure it was of held-out images, and
whether it was right, tells which images it may answer at a target error rate. And where the
training images lie tells which are out of distribution. All of it is small and travels in the
capsule; nothing here needs torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.evaluation.calibration import fit_temperature, softmax
from budwood.evaluation.ood import OODDetector, fit_ood_detector
from budwood.evaluation.selective import SelectiveRule, fit_rule

if TYPE_CHECKING:
    from budwood.learning.fitting import HeldOutLogits

MOST = 20_000
"""Held-out photos that are kept in a capsule."""
MOST_FEATURES = 2**24
"""Features, of all photos together, from which the OOD detector is fitted."""
PREFIX = "trust."
"""What the names of its tensors in a capsule begin with."""

Features = Callable[[NDArray[np.integer]], NDArray[np.floating]]
"""Features `m d` of some photos, by position."""


@displayed
@dataclass(frozen=True)
class Answers:
    """What a classifier says to files, of those that can be read, in order."""

    logits: NDArray[np.float32]
    """`n k`, not yet calibrated."""
    ood: NDArray[np.bool_] | None
    """`n`, whether a photo is out of distribution; None where that is not known."""
    unreadable: dict[Path, str]
    """The other files, with the reason."""


@displayed
@dataclass(frozen=True)
class HeldOutStatistics:
    """What held-out photos say of a classifier."""

    temperature: float
    """Logits are divided by it before they become probabilities."""
    confidence: NDArray[np.float32]
    """`n`, of held-out photos, calibrated."""
    wrong: NDArray[np.bool_]
    """`n`, whether the classifier was wrong there."""
    ood_detector: OODDetector | None = None
    """Where the training photos lie; None where that is not known."""
    ood: NDArray[np.bool_] | None = None
    """`n`, whether each held-out photo is called out of distribution; None where that is not
    known."""
    groups: NDArray[np.int32] | None = None
    """`n`, of the held-out photos; None where each stands for itself."""

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated probabilities `n k`."""
        return softmax(logits, self.temperature)

    def rule(self, target_error: float) -> SelectiveRule:
        """Which photos are answered, so that with 90 % confidence the error is at most the
        target."""
        return fit_rule(target_error, self.confidence, self.wrong, self.ood, self.groups)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The parts that are arrays, by their names in a capsule."""
        found: dict[str, NDArray[Any]] = {
            "confidence": self.confidence,
            "wrong": self.wrong.astype(np.uint8),
        }
        if self.ood_detector is not None:
            found["means"] = self.ood_detector.means
            found["axes"] = self.ood_detector.axes
            found["deviations"] = self.ood_detector.deviations
        if self.ood is not None:
            found["ood"] = self.ood.astype(np.uint8)
        if self.groups is not None:
            found["groups"] = self.groups
        return {f"{PREFIX}{name}": values for name, values in found.items()}

    def to_json(self) -> dict[str, Any]:
        """The parts that are numbers, as they stand in a capsule."""
        known = self.ood_detector
        return {
            "temperature": self.temperature,
            "rest": known and known.rest,
            "limit": known and known.limit,
        }

    @classmethod
    def from_parts(
        cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> "HeldOutStatistics":
        """What `to_json` and `arrays` gave, again; capsules of 0.1.0 have neither `ood` nor
        `groups`."""

        def part(name: str) -> NDArray[Any]:
            return arrays[f"{PREFIX}{name}"]

        has_ood, has_groups = (f"{PREFIX}{name}" in arrays for name in ("ood", "groups"))
        detector = None
        if about["limit"] is not None:
            parts = part("means"), part("axes"), part("deviations")
            detector = OODDetector(*parts, about["rest"], about["limit"])
        return cls(
            float(about["temperature"]),
            part("confidence"),
            part("wrong").astype(bool),
            detector,
            part("ood").astype(bool) if has_ood else None,
            part("groups") if has_groups else None,
        )


def learned_statistics(
    held_out: "HeldOutLogits",
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None,
    features_of: Features,
    features_of_held_out: Features | None = None,
) -> HeldOutStatistics:
    """What held-out images and the features of the training images say of a classifier.

    Labels and groups are those of the training images. Held-out images that are no training
    images come with a way to their own features.
    """
    logits = np.asarray(held_out.logits)
    temperature = fit_temperature(logits, held_out.labels, held_out.groups)
    kept = _spread(len(held_out.labels), MOST)
    probabilities = softmax(logits[kept], temperature)
    width = features_of(np.zeros(1, np.int64)).shape[1]
    some = _spread(len(labels), max(2, MOST_FEATURES // width))
    fit = fit_ood_detector(
        features_of(some), labels[some], None if groups is None else groups[some]
    )
    if features_of_held_out is not None:
        distances = fit.detector.distance(features_of_held_out(kept))
    else:
        assert held_out.positions is not None
        # From what they took no part in, where that is known.
        positions = held_out.positions[kept]
        of_training = np.full(len(labels), np.nan)
        of_training[some] = fit.distances
        distances = of_training[positions]
        rest = np.isnan(distances)
        if rest.any():
            distances[rest] = fit.detector.distance(features_of(positions[rest]))
    return HeldOutStatistics(
        temperature,
        probabilities.max(1).astype(np.float32),
        probabilities.argmax(1) != held_out.labels[kept],
        fit.detector,
        distances > fit.detector.limit,
        None if held_out.groups is None else held_out.groups[kept].astype(np.int32),
    )


def rule_of(
    statistics: HeldOutStatistics | None, target_error: float, whose: str = "This classifier"
) -> SelectiveRule:
    """Which images a classifier answers at a target error rate."""
    if statistics is None:
        raise ConfigError(
            f"{whose} cannot tell when to abstain: no photo was held out of its training.",
            next="Train it again on more photos, or with --fit sgd --val 0.2.",
        )
    return statistics.rule(target_error)


def statistics_in(
    about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> HeldOutStatistics | None:
    """What a capsule says of it; None of one that says nothing."""
    said = about.get("trust")
    return None if said is None else HeldOutStatistics.from_parts(said, arrays)


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of `n` positions, evenly spread."""
    return np.linspace(0, n - 1, min(most, n)).astype(np.int64)
