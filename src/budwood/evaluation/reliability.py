"""What a run says of its classifier beside the accuracy on labelled photos.

Whether its probabilities mean what they say, what it answers and how often that is wrong where it
may abstain, how many photos of its own classes it calls out of distribution, and what
cross-validation came to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import stdev
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.data.splits import Split
from budwood.display import displayed
from budwood.evaluation.calibration import Reliability, reliability, softmax
from budwood.evaluation.held_out_statistics import HeldOutStatistics, learned_statistics
from budwood.evaluation.learning_curve import LearningCurve
from budwood.evaluation.metrics import Evaluation, evaluate_logits
from budwood.evaluation.ood import COVERAGE
from budwood.evaluation.selective import SelectiveResult, SelectiveRule, applied
from budwood.features.gathering import FeatureSet
from budwood.features.rows import RowSource, RowSubset
from budwood.intervals import accuracy_interval
from budwood.learning.fitting import HeldOutLogits
from budwood.learning.int8_trial import pooled
from budwood.learning.plan import Plan
from budwood.learning.streaming import spans
from budwood.reporter import Reporter
from budwood.text import percent


@displayed
@dataclass(frozen=True)
class CalibrationReport:
    """How far a classifier could be taken at its word on labelled photos.

    Example:
        >>> sure = np.array([[2.0, 0.0]] * 40)
        >>> print(calibration_of(None, sure, np.array([0] * 35 + [1] * 5), None))
        Probabilities are not calibrated. Confidence is 0.6 points above accuracy (95 % interval \
-9.8 to 11.0); expected calibration error 0.006, a perfect classifier shows 0.006 to 0.106 on as \
many images.
    """

    temperature: float | None
    """What logits are divided by; None if probabilities are not calibrated."""
    reliability: Reliability
    images: int
    ood: int | None
    """Photos that were called out of distribution; None if that is not known."""
    ood_interval: tuple[float, float] | None = None
    """The 95 % interval of their share."""
    selective: SelectiveResult | None = None
    """Where abstaining was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The objects `calibration`, `ood` and `abstain` of `train --json` and
        `evaluate --json`; see docs/json.md."""
        return {
            "calibration": {"temperature": self.temperature, **self.reliability.to_json()},
            "ood": self._ood_json(),
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
        if self.ood is not None:
            lines.append(
                f"{self.ood} of {self.images} photos ({percent(self.ood / self.images)}) "
                f"were called out of distribution; about {percent(1 - COVERAGE)} are to be "
                "expected."
            )
        return "\n".join(lines)

    def _ood_json(self) -> dict[str, Any] | None:
        if self.ood is None or self.ood_interval is None:
            return None
        return {
            "images": self.images,
            "flagged": self.ood,
            "share": self.ood / self.images,
            "interval": list(self.ood_interval),
            "expected": round(1 - COVERAGE, 6),
        }


@displayed
@dataclass(frozen=True)
class Assessment:
    """What a classifier came to on labelled photos."""

    evaluation: Evaluation
    calibration: CalibrationReport
    right: NDArray[np.bool_]
    """Which of the photos, in their order, it predicts correctly."""


def calibration_of(
    statistics: HeldOutStatistics | None,
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    ood: NDArray[np.bool_] | None,
    rule: SelectiveRule | None = None,
    groups: NDArray[np.integer] | None = None,
) -> CalibrationReport:
    """What a classifier's probabilities and its "unknown" come to on labelled photos.

    Logits `n k` are as the network gave them; with a rule it may abstain.
    """
    probabilities = softmax(logits, temperature_of(statistics))
    return CalibrationReport(
        None if statistics is None else statistics.temperature,
        reliability(probabilities, labels, groups),
        len(labels),
        None if ood is None else int(ood.sum()),
        None if ood is None else accuracy_interval(ood, groups),
        None if rule is None else applied(rule, probabilities, labels, ood, groups),
    )


@displayed
@dataclass(frozen=True)
class Fold:
    """Photos that were held out together."""

    images: int
    right: int

    @property
    def top1(self) -> float:
        """Accuracy on them."""
        return self.right / self.images


@displayed
@dataclass(frozen=True)
class CrossValidation:
    """Accuracy on every photo, each by a head that was fitted to the other folds.

    Example:
        >>> print(CrossValidation((Fold(50, 45), Fold(50, 47)), (0.850, 0.959)))
        Cross-validated top-1 accuracy 0.920 (95 % interval 0.850 to 0.959) on 100 photos in 2 \
folds (0.900 to 0.940, standard deviation 0.028).
    """

    folds: tuple[Fold, ...]
    interval: tuple[float, float]
    """The 95 % interval of the accuracy on images of new groups, as if all photos had been judged
    by one head."""

    @property
    def images(self) -> int:
        """Photos of all folds."""
        return sum(fold.images for fold in self.folds)

    @property
    def top1(self) -> float:
        """Accuracy on all of them."""
        return sum(fold.right for fold in self.folds) / self.images

    def to_json(self) -> dict[str, Any]:
        """The object `kfold` of `train --json`; see docs/json.md."""
        return {
            "images": self.images,
            "top1": self.top1,
            "interval": list(self.interval),
            "folds": [{"images": fold.images, "top1": fold.top1} for fold in self.folds],
        }

    def __str__(self) -> str:
        low, high = self.interval
        shares = [fold.top1 for fold in self.folds]
        return (
            f"Cross-validated top-1 accuracy {self.top1:.3f} (95 % interval {low:.3f} to "
            f"{high:.3f}) on {self.images} photos in {len(self.folds)} folds ({min(shares):.3f} "
            f"to {max(shares):.3f}, standard deviation {stdev(shares):.3f})."
        )


def crossed(
    right: NDArray[np.bool_],
    folds: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> CrossValidation:
    """Hits by fold."""
    parts = [right[folds == fold] for fold in np.unique(folds)]
    return CrossValidation(
        tuple(Fold(len(part), int(part.sum())) for part in parts), accuracy_interval(right, groups)
    )


@displayed
@dataclass(frozen=True)
class Diagnostics:
    """What a run says beside accuracy; None of what was not asked for or cannot be known."""

    calibration: CalibrationReport | None = None
    """How far its word could be taken on the test photos; None if there are none."""
    kfold: CrossValidation | None = None
    learning_curve: LearningCurve | None = None

    def to_json(self) -> dict[str, Any]:
        """Five keys of `train --json`; see docs/json.md."""
        unknown = {"calibration": None, "ood": None, "abstain": None}
        return {
            **(unknown if self.calibration is None else self.calibration.to_json()),
            "kfold": self.kfold and self.kfold.to_json(),
            "learning_curve": self.learning_curve and self.learning_curve.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """For people, a paragraph each."""
        for part in (self.calibration, self.kfold, self.learning_curve):
            if part is not None:
                yield str(part)


JUDGED_AT_ONCE = 1024
"""Images whose features are looked at together, to see which are out of distribution."""


def verdict_on(
    split: Split,
    gathered: FeatureSet,
    plan: Plan,
    statistics: HeldOutStatistics | None,
    rule: SelectiveRule | None,
) -> Assessment:
    """What a network comes to on labelled images, from their rows for judging."""
    logits, targets, groups = plan.logits(gathered), split.targets, split.group_numbers
    labels, scaled = torch.from_numpy(targets), logits / temperature_of(statistics)
    ood = ood_of(statistics, gathered.rows)
    return Assessment(
        evaluate_logits(scaled, labels, split.classes, split.paths, groups=groups),
        calibration_of(statistics, logits.numpy(), targets, ood, rule, groups),
        (logits.argmax(1) == labels).numpy(),
    )


def temperature_of(statistics: HeldOutStatistics | None) -> float:
    """What logits are divided by before they become probabilities; 1 if that is not known."""
    return 1.0 if statistics is None else statistics.temperature


def ood_of(statistics: HeldOutStatistics | None, rows: RowSource) -> NDArray[np.bool_] | None:
    """Which images are out of distribution, by their rows; None if that is not known."""
    known = None if statistics is None else statistics.ood_detector
    if known is None:
        return None
    parts = spans(len(rows), JUDGED_AT_ONCE)
    some = (RowSubset(rows, range(part.start, part.stop)) for part in parts)
    found = [known.is_ood(pooled(each).numpy()) for each in some]
    return np.concatenate([np.empty(0, np.bool_), *found])


def statistics_from(
    train: Split, held_out: HeldOutLogits | None, rows: RowSource, reporter: Reporter
) -> HeldOutStatistics | None:
    """What held-out images say of a network; None, which is noted, where none was held out.

    `rows` are those that the training images are judged by.
    """
    if held_out is None:
        reporter.note("Its probabilities are not calibrated: no photo was held out of training.")
        return None
    return learned_statistics(
        held_out,
        train.targets,
        train.group_numbers,
        partial(_pooled, rows),
        None if held_out.rows is None else partial(_pooled, held_out.rows),
    )


def _pooled(rows: RowSource, some: NDArray[np.integer]) -> NDArray[np.floating]:
    features: NDArray[np.float32] = pooled(RowSubset(rows, some.tolist())).numpy()
    return features
