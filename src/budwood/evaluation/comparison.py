"""Which network suits these images, and how much of it: a probe on every stage, with its doubt.

Probes of all stages are judged on the same images in the same folds, so two of them are compared
pair by pair. Recommended is the quickest stage that is non-inferior: at most `margin` worse than
each other stage, by the lower end of the interval of their difference. Few images cannot show that
of any stage, and then none is recommended. That a stage is *not significantly different* from the
best is no reason to take it: with few images much worse ones are not.
"""

from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.evaluation.pairing import (
    LEVEL,
    PairwiseDifferences,
    adjusted_p_values,
    optimism,
    pairwise_differences,
)
from budwood.text import aligned

MARGIN = 0.01
"""How much worse than the best a recommended stage may be, if nothing else is asked for."""


@displayed
@dataclass(frozen=True, eq=False)
class ComparedStage:
    """A probe on one stage of one network."""

    name: str
    width: int
    """Features of an image."""
    macs: int
    """Multiply-adds up to here, of one image."""
    memory: int
    """Bytes of the weights up to here, and at most of the values of one image."""
    seconds: float
    """Seconds for one image up to here, on this machine."""
    top1: float
    """Cross-validated."""
    interval: tuple[float, float]
    """Its 95 % interval: Wilson's, for as many independent images as these are worth."""
    balanced_accuracy: float
    l2_strength: float
    logme: float
    h_score: float
    fit_seconds: float
    """Seconds for the probe in all folds, with the choice of its L2 strength."""
    right: NDArray[np.bool_]
    """Which images it gets right while they are held out."""


@displayed
@dataclass(frozen=True, eq=False)
class ComparedNetwork:
    """All stages of one network."""

    model: str
    weights: str
    download: int | None
    """Bytes of the file of its weights; None for random ones."""
    hits: int
    """Images whose features were stored."""
    misses: int
    """Images that went through the network."""
    stages: tuple[ComparedStage, ...]

    @property
    def title(self) -> str:
        """What it is called where random weights are to be told from others."""
        return self.model + (" (random)" if self.weights == "none" else "")


@displayed
@dataclass(frozen=True, eq=False)
class RankedStage:
    """A stage of a network, compared with the best one and with all others."""

    network: ComparedNetwork
    stage: ComparedStage
    difference: float
    """Its accuracy less that of the best."""
    difference_interval: tuple[float, float]
    """The 95 % interval of the difference."""
    p_value: float
    """For the difference, adjusted for the number of stages and for the choice of the best."""
    worst_case: float
    """Lower end of the 95 % interval of its accuracy less that of whichever other stage is worst
    for it: so much worse than the best it is at most."""

    @property
    def is_tie(self) -> bool:
        """True if it is not significantly different from the best, and for the best itself."""
        return self.p_value >= LEVEL

    @property
    def is_last(self) -> bool:
        """True for the stage that the network's own classifier is fed with."""
        return self.stage is self.network.stages[-1]

    def is_non_inferior(self, margin: float) -> bool:
        """True if it is shown to be less than `margin` worse than the best, whichever that is."""
        return self.worst_case > -margin

    def __str__(self) -> str:
        return f"`{self.network.title}`, cut after `{self.stage.name}`"


@displayed
@dataclass(frozen=True, eq=False)
class Comparison:
    """Networks and their stages on the same images; printed, it is a table and a sentence."""

    images: int
    classes: tuple[str, ...]
    folds: int
    largest_class: float
    """Accuracy of the majority-class baseline: all images are said to be of the largest class."""
    networks: tuple[ComparedNetwork, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """Networks that could not be compared, with the reason."""
    groups: NDArray[np.integer] | None = None
    """A number for each image, the same for images that belong together; None: each stands for
    itself."""
    margin: float = MARGIN
    """How much worse than the best, as a share of the images, a recommended stage may be."""

    def __post_init__(self) -> None:
        require_margin(self.margin)

    @cached_property
    def places(self) -> tuple[RankedStage, ...]:
        """All stages of all networks, the most accurate first, of equal ones the quickest."""
        pairs, p = self._pairs, self._p_values
        return tuple(
            RankedStage(
                network,
                stage,
                float(pairs.accuracy[i] - pairs.accuracy[0]),
                (float(pairs.low[i, 0]), float(pairs.high[i, 0])) if i else (0.0, 0.0),
                float(p[i]),
                float(pairs.worst_case[i]),
            )
            for i, (network, stage) in enumerate(self._ranked)
        )

    @cached_property
    def _ranked(self) -> list[tuple[ComparedNetwork, ComparedStage]]:
        stages = [(network, stage) for network in self.networks for stage in network.stages]
        return sorted(stages, key=lambda pair: (-pair[1].top1, pair[1].seconds))

    @cached_property
    def _pairs(self) -> PairwiseDifferences:
        right = np.stack([stage.right for _, stage in self._ranked])
        return pairwise_differences(right, self.groups)

    @cached_property
    def _p_values(self) -> NDArray[np.float64]:
        return adjusted_p_values(self._pairs, best=0)

    @cached_property
    def optimism(self) -> float:
        """How much too good the best stage's accuracy is likely to be, because it was chosen by
        it."""
        return optimism(self._pairs, self._p_values >= LEVEL)

    @property
    def best(self) -> RankedStage:
        """The most accurate."""
        return self.places[0]

    @cached_property
    def front(self) -> tuple[RankedStage, ...]:
        """The Pareto-optimal stages: no other is both quicker and more accurate. The quickest
        first."""
        kept: list[RankedStage] = []
        for place in sorted(self.places, key=lambda p: (p.stage.seconds, -p.stage.top1)):
            if not kept or place.stage.top1 > kept[-1].stage.top1:
                kept.append(place)
        return tuple(kept)

    @property
    def beats_baseline(self) -> bool:
        """True if the best is shown to be better than the majority-class baseline, even if its
        figure is as much too good as is likely."""
        return self.best.stage.interval[0] - self.optimism > self.largest_class

    @property
    def recommended(self) -> RankedStage | None:
        """The quickest of the non-inferior stages; None if there is none, or if not even the best
        is better than the majority-class baseline."""
        return self._quickest(self.margin) if self.beats_baseline else None

    def _quickest(self, margin: float) -> RankedStage | None:
        shown = [place for place in self.places if place.is_non_inferior(margin)]
        return min(shown, key=lambda p: (p.stage.seconds, -p.stage.top1), default=None)

    @property
    def recommendation(self) -> str:
        """What to take and why, in a few sentences; it begins with `None` if that is open."""
        place, best = self.recommended, self.best
        if not self.beats_baseline:
            return (
                "None: no stage is shown to be better than the majority-class baseline "
                f"({self.largest_class:.3f}; the best is {best}, {best.stage.top1:.3f})."
            )
        if place is None:
            return self._nothing_shown()
        freeze = "freeze all of it" if place.is_last else "freeze up to there"
        figure = f"{place}: {_figure(place)}"
        if place is best:
            return f"{figure}, the best, and no quicker one is non-inferior; {freeze}."
        low, high = place.difference_interval
        return (
            f"{figure}, non-inferior to the best ({best}: {best.stage.top1:.3f}; "
            f"difference {100 * place.difference:+.1f} points, 95 % interval {100 * low:+.1f} to "
            f"{100 * high:+.1f}) at {100 * place.stage.seconds / best.stage.seconds:.0f} % of its "
            f"time; {freeze}."
        )

    def _nothing_shown(self) -> str:
        """Why no stage is recommended, and what to do."""
        least = -max(place.worst_case for place in self.places)
        margin = (floor(1000 * least + 1e-9) + 1) / 1000  # rounded up to a tenth of a point
        images = f"{self.images:,} images"
        if self.groups is not None and self._pairs.units < self.images:
            images += f" in {self._pairs.units:,} groups"
        return (
            f"None: no stage is shown to be within {_points(self.margin)} of the best by {images}. "
            f"The most accurate is {self.best}: {_figure(self.best)}. Add images, or allow for "
            f"more: from --margin {margin:.3f} ({_points(margin)}) on, {self._quickest(margin)} is "
            "recommended."
        )

    @property
    def optimism_note(self) -> str:
        """How much too good the best one's figure is, in a sentence; empty for a single stage."""
        if len(self.places) == 1:
            return ""
        tenths = round(1000 * self.optimism)
        much = f"about {_points(tenths / 1000)}" if tenths else "less than 0.1 points"
        return (
            f"The best of {len(self.places)} stages was chosen by these images: its figure is "
            f"{much} too good."
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `compare --json`; see docs/json.md."""
        by_stage = {place.stage: place for place in self.places}
        return {
            "images": self.images,
            "classes": list(self.classes),
            "folds": self.folds,
            "majority_class_top1": self.largest_class,
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
            "optimism": self.optimism,
            "margin": self.margin,
            "recommended": _named(self.recommended) if self.recommended else None,
            "recommendation": self.recommendation,
            "skipped": [{"model": name, "reason": reason} for name, reason in self.skipped],
        }

    def _stage_json(self, place: RankedStage) -> dict[str, Any]:
        stage = place.stage
        return {
            "stage": stage.name,
            "width": stage.width,
            "macs": stage.macs,
            "memory_bytes": stage.memory,
            "seconds_per_image": stage.seconds,
            "top1": stage.top1,
            "interval": list(stage.interval),
            "balanced_accuracy": stage.balanced_accuracy,
            "logme": stage.logme,
            "h_score": stage.h_score,
            "l2_strength": stage.l2_strength,
            "fit_seconds": stage.fit_seconds,
            "difference": place.difference,
            "difference_interval": list(place.difference_interval),
            "p_value": place.p_value,
            "not_significantly_different": place.is_tie,
            "worst_case": place.worst_case,
            "non_inferior": place.is_non_inferior(self.margin),
            "pareto_optimal": place in self.front,
        }

    def __str__(self) -> str:
        return _table(self)


def require_margin(margin: float) -> None:
    """Raise unless it is a share of the images."""
    if not 0 < margin < 1:
        raise ConfigError(
            f"margin is {margin}.",
            expected="It is the share of the images by which a recommended stage may be worse than "
            "the best, between 0 and 1: 0.01 is one point.",
        )


def _figure(place: RankedStage) -> str:
    low, high = place.stage.interval
    return f"top-1 {place.stage.top1:.3f} ({low:.3f} to {high:.3f})"


def _points(share: float) -> str:
    """A share in points.

    Example:
        >>> _points(0.01), _points(0.025)
        ('1.0 point', '2.5 points')
    """
    text = f"{100 * share:.1f}"
    return f"{text} point" if text == "1.0" else f"{text} points"


def _named(place: RankedStage) -> dict[str, str]:
    return {
        "model": place.network.model,
        "weights": place.network.weights,
        "stage": place.stage.name,
    }


HEAD = (
    "cut after", "width", "top-1", "95 %", "bal.", "ms", "MB", "fit s", "LogME",
    "H-score", "",
)  # fmt: skip
LEGEND = (
    "95 %: the interval of top-1. bal.: balanced accuracy. ms, MB: of one image up to there.\n"
    "= not significantly different from the best   * Pareto-optimal   > recommended"
)
LONGEST = 22
"""Letters of a stage's name; of a longer one the end is shown."""


def _table(comparison: Comparison) -> str:
    """A line for each stage under the name of its network, and sentences; 100 columns at most."""
    by_stage = {place.stage: place for place in comparison.places}
    rows: list[tuple[str, ...]] = [HEAD]
    titles: dict[int, str] = {}
    for network in comparison.networks:
        size = "" if network.download is None else f", {network.download / 1e6:.1f} MB to download"
        titles[len(rows)] = network.title + size
        rows += [_row(comparison, by_stage[stage]) for stage in network.stages]
    lines = []
    for number, line in enumerate(aligned(rows).splitlines()):
        if number in titles:
            lines += ["", titles[number]]
        lines.append(f"  {line}")
    skipped = [f"Not compared: {name}: {reason}" for name, reason in comparison.skipped]
    head = (
        f"{comparison.images:,} training images of {len(comparison.classes)} classes in "
        f"{comparison.folds} folds; {100 * comparison.largest_class:.1f} % are of the largest "
        "class."
    )
    recommended = f"Recommended: {comparison.recommendation}"
    parts = [head, "\n".join(lines), LEGEND, *skipped, comparison.optimism_note, recommended]
    return "\n\n".join(part for part in parts if part)


def _row(comparison: Comparison, place: RankedStage) -> tuple[str, ...]:
    stage = place.stage
    low, high = stage.interval
    marks = (
        ("=", place.is_tie),
        ("*", place in comparison.front),
        (">", place is comparison.recommended),
    )
    return (
        stage.name if len(stage.name) <= LONGEST else f"...{stage.name[3 - LONGEST :]}",
        str(stage.width),
        f"{stage.top1:.3f}",
        f"{low:.3f}-{high:.3f}",
        f"{stage.balanced_accuracy:.3f}",
        _digits(1000 * stage.seconds),
        _digits(stage.memory / 1e6),
        f"{stage.fit_seconds:.1f}",
        f"{stage.logme:.3f}",
        f"{stage.h_score:.2f}",
        "".join(mark if is_so else " " for mark, is_so in marks),
    )


def _digits(value: float) -> str:
    """Three digits, or all before the point.

    Example:
        >>> _digits(0.1234), _digits(12.34), _digits(1234.5)
        ('0.12', '12.3', '1234')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
