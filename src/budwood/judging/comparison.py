"""Which network suits these photos, and how much of it: a probe on every stage, with its doubt.

Probes of all stages are judged on the same photos in the same folds, so two of them are compared
pair by pair. What cannot be told from the best is called a tie, and among ties the cheapest is
recommended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.features.rows import RowSource
from budwood.judging.intervals import wilson_interval
from budwood.judging.pairing import Paired, paired
from budwood.judging.transferability import h_score, logme
from budwood.learning.penalties import spread_folds
from budwood.learning.probe import Probe, fit_probe, held_out_logits
from budwood.surgery.tables import aligned
from budwood.tensors import Labels

PHOTOS_OF_SCORES = 5000
"""Photos by which LogME and the H-score are computed at most: both take a decomposition."""


@dataclass(frozen=True)
class ComparedStage:
    """A probe on one stage of one network."""

    name: str
    width: int
    macs: int
    """Multiply-adds up to here, of one photo."""
    top1: float
    """Cross-validated."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of it."""
    balanced_accuracy: float
    penalty: float
    logme: float
    h_score: float
    fit_seconds: float
    milliseconds: float
    """Of one photo up to here, on this machine: measured for the whole, shared by multiply-adds."""
    right: NDArray[np.bool_]
    """Which photos it gets right while they are held out."""


@dataclass(frozen=True)
class ComparedNetwork:
    """All stages of one network."""

    model: str
    weights: str
    megabytes: float
    """Of its weights, in memory as on disk."""
    milliseconds: float
    """Of one photo through all of it, on this machine."""
    stages: tuple[ComparedStage, ...]


@dataclass(frozen=True)
class Place:
    """A stage of a network."""

    network: ComparedNetwork
    stage: ComparedStage

    def __str__(self) -> str:
        return f"{self.network.model}, cut after {self.stage.name}"


@dataclass(frozen=True)
class Comparison:
    """Networks and their stages on the same photos; printed, it is a table and a sentence."""

    photos: int
    classes: tuple[str, ...]
    folds: int
    networks: tuple[ComparedNetwork, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Networks that could not be compared, with the reason."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All stages of all networks, the most accurate first, of equal ones the cheapest."""
        found = [Place(network, stage) for network in self.networks for stage in network.stages]
        return tuple(sorted(found, key=lambda p: (-p.stage.top1, p.stage.milliseconds)))

    @property
    def best(self) -> Place:
        """The most accurate."""
        return self.places[0]

    def against_best(self, place: Place) -> Paired:
        """A stage (second) against the best one (first), photo by photo."""
        return paired(self.best.stage.right, place.stage.right)

    @property
    def ties(self) -> tuple[Place, ...]:
        """The stages that these photos do not tell from the best, the best itself first."""
        return tuple(p for p in self.places if p is self.best or self.against_best(p).is_tie)

    @property
    def front(self) -> tuple[Place, ...]:
        """The stages that no other beats in both accuracy and time, the quickest first."""
        kept: list[Place] = []
        for place in sorted(self.places, key=lambda p: (p.stage.milliseconds, -p.stage.top1)):
            if not kept or place.stage.top1 > kept[-1].stage.top1:
                kept.append(place)
        return tuple(kept)

    @property
    def recommended(self) -> Place:
        """The quickest of the ties."""
        return min(self.ties, key=lambda p: (p.stage.milliseconds, -p.stage.top1))

    @property
    def recommendation(self) -> str:
        """What to take, in one sentence."""
        place, best = self.recommended, self.best
        low, high = place.stage.interval
        figure = f"top-1 {place.stage.top1:.3f} ({low:.3f} to {high:.3f})"
        is_last = place.stage is place.network.stages[-1]
        where = "its last layer" if is_last else f"`{place.stage.name}`"
        freeze = "Freeze all of it." if is_last else "Freeze up to there."
        if place.stage is best.stage:
            return f"`{place.network.model}`, cut after {where}: {figure}, the best. {freeze}"
        share = place.stage.milliseconds / best.stage.milliseconds
        return (
            f"`{place.network.model}`, cut after {where}: {figure}, not to be told from the best "
            f"({best}: {best.stage.top1:.3f}) at {100 * share:.0f} % of its time. {freeze}"
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `compare --json`; see docs/json.md."""
        ties, front = set(map(id, self._stages(self.ties))), set(map(id, self._stages(self.front)))
        return {
            "photos": self.photos,
            "classes": list(self.classes),
            "folds": self.folds,
            "models": [
                {
                    "model": network.model,
                    "weights": network.weights,
                    "megabytes": network.megabytes,
                    "ms_a_photo": network.milliseconds,
                    "stages": [
                        {
                            "stage": stage.name,
                            "width": stage.width,
                            "macs": stage.macs,
                            "top1": stage.top1,
                            "interval": list(stage.interval),
                            "balanced_accuracy": stage.balanced_accuracy,
                            "penalty": stage.penalty,
                            "logme": stage.logme,
                            "h_score": stage.h_score,
                            "fit_seconds": stage.fit_seconds,
                            "ms_a_photo": stage.milliseconds,
                            "ties_with_best": id(stage) in ties,
                            "on_front": id(stage) in front,
                        }
                        for stage in network.stages
                    ],
                }
                for network in self.networks
            ],
            "best": _named(self.best),
            "recommended": _named(self.recommended),
            "recommendation": self.recommendation,
            "skipped": [{"model": name, "reason": reason} for name, reason in self.skipped],
        }

    def _stages(self, places: Sequence[Place]) -> list[ComparedStage]:
        return [place.stage for place in places]

    def __str__(self) -> str:
        ties, front = set(map(id, self._stages(self.ties))), set(map(id, self._stages(self.front)))
        head = (
            "network", "cut after", "top-1", "95 % interval", "balanced", "ms a photo", "features",
            "LogME", "H-score", "",
        )  # fmt: skip
        rows = [head]
        for network in self.networks:
            for stage in network.stages:
                low, high = stage.interval
                marks = [
                    *(["= best"] if id(stage) in ties else []),
                    *(["front"] if id(stage) in front else []),
                ]
                rows.append(
                    (
                        network.model + (" (random)" if network.weights == "none" else ""),
                        stage.name,
                        f"{stage.top1:.3f}",
                        f"{low:.3f} to {high:.3f}",
                        f"{stage.balanced_accuracy:.3f}",
                        f"{stage.milliseconds:.2f}",
                        str(stage.width),
                        f"{stage.logme:.3f}",
                        f"{stage.h_score:.2f}",
                        ", ".join(marks),
                    )
                )
        skipped = [f"Not compared: {name}: {reason}" for name, reason in self.skipped]
        return "\n\n".join(
            [
                f"{self.photos} training photos, {len(self.classes)} classes, {self.folds} folds.",
                aligned(rows, words=2),
                *skipped,
                f"Recommended: {self.recommendation}",
            ]
        )


@dataclass(frozen=True)
class Judged:
    """What a probe on one stage came to."""

    right: NDArray[np.bool_]
    top1: float
    interval: tuple[float, float]
    balanced_accuracy: float
    penalty: float
    logme: float
    h_score: float


def judge_stage(rows: RowSource, labels: Labels, classes: int, config: Probe) -> Judged:
    """A probe on one stage, cross-validated, and what two scores say of its features.

    Args:
        rows: One tensor `n d`.
        labels: `n`.
        classes: Outputs of the probe.
        config: Folds and seed.

    Raises:
        DataError: If no probe can be fitted.
    """
    truth = labels.numpy()
    solved = fit_probe(rows, labels, classes, config)
    folds = spread_folds(truth, config.folds, config.seed)
    logits = held_out_logits(rows, labels, classes, folds, solved.penalty)
    right = logits.argmax(1).numpy() == truth
    some = np.unique(np.linspace(0, len(truth) - 1, min(len(truth), PHOTOS_OF_SCORES)).astype(int))
    features = rows.take(some.tolist())[0].float().numpy()
    return Judged(
        right,
        float(right.mean()),
        wilson_interval(int(right.sum()), len(right)),
        fmean(float(right[truth == k].mean()) for k in np.unique(truth)),
        solved.penalty,
        logme(features, truth[some]),
        h_score(features, truth[some]),
    )


def _named(place: Place) -> dict[str, str]:
    return {"model": place.network.model, "stage": place.stage.name}


def as_labels(targets: NDArray[np.integer]) -> Labels:
    """Labels of a split, as the probe takes them."""
    return torch.from_numpy(np.asarray(targets, np.int64))
