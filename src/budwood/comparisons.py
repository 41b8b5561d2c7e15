"""Comparing networks on a folder of photos: one pass over them a network, then a probe a stage."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from budwood.errors import BudwoodError, ConfigError, UnknownName
from budwood.features.extraction import OnProgress
from budwood.features.gathering import Extraction, Gathered, Gatherer
from budwood.features.rows import Selected
from budwood.images.broken import leave_out_broken
from budwood.images.folder import load_folder
from budwood.images.splits import Split
from budwood.judging.comparison import (
    ComparedNetwork,
    ComparedStage,
    Comparison,
    as_labels,
    judge_stage,
)
from budwood.learning.probe import Probe
from budwood.networks.at_hand import at_hand
from budwood.networks.building import build, origin_of, preprocessing_of
from budwood.networks.catalog import find, models
from budwood.networks.prepared import Prepared
from budwood.surgery.stages import Stages, stages_of

TIMED = 32
"""Photos that a network is timed on."""


@dataclass(frozen=True)
class Candidate:
    """A network to compare."""

    model: str
    weights: str = "imagenet"

    def __str__(self) -> str:
        return self.model + ("" if self.weights == "imagenet" else f"={self.weights}")


def candidates(asked: Sequence[str]) -> tuple[Candidate, ...]:
    """The networks that are meant.

    Args:
        asked: Names, globs, and `NAME=WEIGHTS`; none: all whose weights are on this machine.

    Raises:
        UnknownName: If one matches no network.

    Example:
        >>> [str(c) for c in candidates(["resnet18=none", "efficientnet_lite[01]"])]
        ['resnet18=none', 'efficientnet_lite0', 'efficientnet_lite1']
    """
    found: dict[str, Candidate] = {}
    for text in asked:
        pattern, _, weights = text.partition("=")
        matching = [a.name for a in models(pattern)]
        if not matching and not set("*?[") & set(pattern):
            matching = [find(pattern).name]  # or the nearest name is told
        if not matching:
            raise UnknownName(
                f"No network matches {pattern!r}.",
                next="`budwood models` lists all; quote the glob: 'resnet*'.",
            )
        for name in matching:
            found[f"{name}={weights}"] = Candidate(name, weights or "imagenet")
    if not asked:
        found = {a.name: Candidate(a.name) for a in at_hand()}
    return tuple(found.values())


def compare(
    data: Path,
    asked: Sequence[Candidate],
    *,
    extraction: Extraction,
    seed: int = 0,
    strict: bool = False,
    on_note: Callable[[object], None] = lambda note: None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Probes on every stage of every network, on the training photos.

    Test photos take no part: they choose nothing. What a network has computed is stored; an
    interrupted comparison goes on there.

    Args:
        data: Folder or CSV file of photos.
        asked: The networks.
        extraction: How their trunks are run.
        seed: Of the split, if there is none, and of the folds.
        strict: Whether a single broken photo is an error.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass of a network is.

    Raises:
        BudwoodError: Of the kind that fits.
    """
    photos = load_folder(data, seed=seed)
    for note in photos.notes:
        on_note(note)
    if not asked:
        raise ConfigError("There is no network to compare.", next="Name some with --models.")
    config = Probe(seed=seed)
    networks: list[ComparedNetwork] = []
    skipped: list[tuple[str, str]] = []
    train: Split | None = None
    for number, candidate in enumerate(asked, 1):
        on_note(f"{candidate} ({number} of {len(asked)})")
        try:
            passed = _pass(candidate, photos.train.paths, extraction, on_note, on_progress)
        except BudwoodError as problem:
            if len(asked) == 1:
                raise
            on_note(f"{candidate} is left out: {problem.problem}")
            skipped.append((str(candidate), problem.problem))
            continue
        if train is None:
            left = leave_out_broken(photos, passed.gathered.broken, strict=strict)
            for note in left.notes[len(photos.notes) :]:
                on_note(note)
            train = left.train
        networks.append(_judged(candidate, passed, train, config))
    if train is None:
        name, reason = skipped[0]
        raise ConfigError(f"No network could be compared; the first: {name}: {reason}")
    folds = min(config.folds, len(train))
    return Comparison(len(train), train.classes, folds, tuple(networks), tuple(skipped))


@dataclass(frozen=True)
class _Passed:
    """A network that the photos have been through."""

    stages: Stages
    gathered: Gathered
    weights: str
    megabytes: float
    seconds: float
    """Of one photo."""


def _pass(
    candidate: Candidate,
    paths: Sequence[Path],
    extraction: Extraction,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
) -> _Passed:
    network = build(candidate.model, weights=candidate.weights)
    preprocessing = preprocessing_of(network)
    height, width = preprocessing.size
    photo = torch.zeros(1, height, width, len(preprocessing.mean), dtype=torch.uint8)
    stages = stages_of(Prepared(network, preprocessing), photo)
    gatherer = Gatherer(stages.cut, preprocessing, extraction, on_note, on_progress)
    gathered = gatherer.gather(paths)
    step = max(1, len(gathered.paths) // TIMED)
    seconds = gatherer.measured(gathered.paths[::step][:TIMED])
    origin = origin_of(network)
    return _Passed(
        stages,
        gathered,
        candidate.weights if origin is None else origin.weights,
        sum(p.numel() * p.element_size() for p in network.parameters()) / 1e6,
        seconds,
    )


def _judged(candidate: Candidate, passed: _Passed, train: Split, config: Probe) -> ComparedNetwork:
    place = {path: i for i, path in enumerate(passed.gathered.paths)}
    positions = [place[path] for path in train.paths]
    labels = as_labels(train.targets)
    whole = max(stage.macs for stage in passed.stages.stages)
    results = []
    for i, stage in enumerate(passed.stages.stages):
        started = time.perf_counter()
        rows = Selected(passed.gathered.rows, positions, [i])
        judged = judge_stage(rows, labels, len(train.classes), config)
        results.append(
            ComparedStage(
                name=stage.name,
                width=stage.width,
                macs=stage.macs,
                top1=judged.top1,
                interval=judged.interval,
                balanced_accuracy=judged.balanced_accuracy,
                penalty=judged.penalty,
                logme=judged.logme,
                h_score=judged.h_score,
                fit_seconds=time.perf_counter() - started,
                milliseconds=1000 * passed.seconds * stage.macs / whole,
                right=np.asarray(judged.right),
            )
        )
    return ComparedNetwork(
        candidate.model, passed.weights, passed.megabytes, 1000 * passed.seconds, tuple(results)
    )
