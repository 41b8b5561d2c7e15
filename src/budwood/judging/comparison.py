"""Which network suits these photos, and how much of it: a probe on every stage, with its doubt.

Probes of all stages are judged on the same photos in the same folds, so two of them are compared
pair by pair. What cannot be told from the best is called a tie. Many stages are held against the
best, so the level of the test is shared by all of them (Holm): no stage is called worse because one
of fifty looked so by chance. What is recommended must be close to the best by the test of these two
alone, which is stricter: a good stage passed over costs time, a bad one taken costs accuracy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.judging.pairing import LEVEL, Paired, paired


@dataclass(frozen=True, eq=False)
class ComparedStage:
    """A probe on one stage of one network."""

    name: str
    width: int
    """Features of a photo."""
    macs: int
    """Multiply-adds up to here, of one photo."""
    memory: int
    """Bytes of the weights up to here, and at most of the values of one photo."""
    seconds: float
    """Of one photo up to here, on this machine."""
    top1: float
    """Cross-validated."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of it."""
    balanced_accuracy: float
    penalty: float
    logme: float
    h_score: float
    fit_seconds: float
    """Of the probe in all folds, with the choice of its penalty."""
    right: NDArray[np.bool_]
    """Which photos it gets right while they are held out."""


@dataclass(frozen=True, eq=False)
class ComparedNetwork:
    """All stages of one network."""

    model: str
    weights: str
    download: int | None
    """Bytes of the file of its weights; None for random ones."""
    hits: int
    """Photos whose features were stored."""
    misses: int
    """Photos that went through the network."""
    stages: tuple[ComparedStage, ...]

    @property
    def title(self) -> str:
        """What it is called where random weights are to be told from others."""
        return self.model + (" (random)" if self.weights == "none" else "")


@dataclass(frozen=True, eq=False)
class Place:
    """A stage of a network, held against the best one."""

    network: ComparedNetwork
    stage: ComparedStage
    against_best: Paired
    """The best (first) and this one (second)."""
    p_value: float
    """McNemar's for the two, adjusted for the number of stages."""

    @property
    def is_tie(self) -> bool:
        """True for what these photos do not tell from the best, and for the best itself."""
        return self.p_value >= LEVEL

    @property
    def is_close(self) -> bool:
        """True for a tie that is one also if no other stage had been tried."""
        return self.against_best.is_tie

    @property
    def is_last(self) -> bool:
        """True for the stage that the network's own classifier is fed with."""
        return self.stage is self.network.stages[-1]

    def __str__(self) -> str:
        return f"`{self.network.title}`, cut after `{self.stage.name}`"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Networks and their stages on the same photos; printed, it is a table and a sentence."""

    photos: int
    classes: tuple[str, ...]
    folds: int
    largest_class: float
    """The share of photos that is right if all are said to be of the largest class."""
    networks: tuple[ComparedNetwork, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Networks that could not be compared, with the reason."""

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """All stages of all networks, the most accurate first, of equal ones the quickest."""
        pairs = [(network, stage) for network in self.networks for stage in network.stages]
        pairs.sort(key=lambda pair: (-pair[1].top1, pair[1].seconds))
        best = pairs[0][1]
        results = [paired(best.right, stage.right) for _, stage in pairs]
        values = [1.0, *holm([result.p_value for result in results[1:]])]
        return tuple(
            Place(network, stage, result, value)
            for (network, stage), result, value in zip(pairs, results, values, strict=True)
        )

    @property
    def best(self) -> Place:
        """The most accurate."""
        return self.places[0]

    @property
    def ties(self) -> tuple[Place, ...]:
        """The stages that these photos do not tell from the best, the best itself first."""
        return tuple(place for place in self.places if place.is_tie)

    @cached_property
    def front(self) -> tuple[Place, ...]:
        """The stages that no other beats in both accuracy and time, the quickest first."""
        kept: list[Place] = []
        for place in sorted(self.places, key=lambda p: (p.stage.seconds, -p.stage.top1)):
            if not kept or place.stage.top1 > kept[-1].stage.top1:
                kept.append(place)
        return tuple(kept)

    @property
    def recommended(self) -> Place:
        """The quickest of those that are close to the best."""
        close = [place for place in self.places if place.is_close]
        return min(close, key=lambda p: (p.stage.seconds, -p.stage.top1))

    @property
    def recommendation(self) -> str:
        """What to take, in one sentence."""
        place, best = self.recommended, self.best
        low, high = place.stage.interval
        if best.stage.interval[0] <= self.largest_class:
            return (
                "None: no stage is better than saying that every photo is of the largest class "
                f"({self.largest_class:.3f}; the best is {best}, {best.stage.top1:.3f})."
            )
        figure = f"top-1 {place.stage.top1:.3f} ({low:.3f} to {high:.3f})"
        freeze = "freeze all of it" if place.is_last else "freeze up to there"
        if place is best:
            return f"{place}: {figure}, the best; {freeze}."
        difference, (least, most) = place.against_best.difference, place.against_best.interval
        return (
            f"{place}: {figure}, not to be told from the best ({best}: {best.stage.top1:.3f}; "
            f"difference {100 * difference:+.1f} points, 95 % interval {100 * least:+.1f} to "
            f"{100 * most:+.1f}) at {100 * place.stage.seconds / best.stage.seconds:.0f} % of its "
            f"time; {freeze}."
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `compare --json`; see docs/json.md."""
        by_stage = {place.stage: place for place in self.places}
        return {
            "photos": self.photos,
            "classes": list(self.classes),
            "folds": self.folds,
            "largest_class": self.largest_class,
            "models": [
                {
                    "model": network.model,
                    "weights": network.weights,
                    "download_bytes": network.download,
                    "store": {"hits": network.hits, "misses": network.misses},
                    "stages": [self._stage_json(by_stage[stage]) for stage in network.stages],
                }
                for network in self.networks
            ],
            "best": _named(self.best),
            "recommended": _named(self.recommended),
            "recommendation": self.recommendation,
            "skipped": [{"model": name, "reason": reason} for name, reason in self.skipped],
        }

    def _stage_json(self, place: Place) -> dict[str, Any]:
        stage = place.stage
        return {
            "stage": stage.name,
            "width": stage.width,
            "macs": stage.macs,
            "memory_bytes": stage.memory,
            "seconds_a_photo": stage.seconds,
            "top1": stage.top1,
            "interval": list(stage.interval),
            "balanced_accuracy": stage.balanced_accuracy,
            "logme": stage.logme,
            "h_score": stage.h_score,
            "penalty": stage.penalty,
            "fit_seconds": stage.fit_seconds,
            "difference": place.against_best.difference,
            "difference_interval": list(place.against_best.interval),
            "p_value": place.p_value,
            "ties_with_best": place.is_tie,
            "on_front": place in self.front,
        }

    def __str__(self) -> str:
        from budwood.judging.comparison_table import comparison_table

        return comparison_table(self)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values that may be held against one level, however many there are.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Reference: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 1979.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.zeros(len(p_values))
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return [float(value) for value in adjusted]


def _named(place: Place) -> dict[str, str]:
    return {
        "model": place.network.model,
        "weights": place.network.weights,
        "stage": place.stage.name,
    }
