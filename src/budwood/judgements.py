"""A saved classifier judged on labelled photos."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from budwood.capsule.pack import read_capsule
from budwood.classifier import unpacked
from budwood.display import displayed
from budwood.errors import DataError
from budwood.features.extraction import OnProgress
from budwood.features.gathering import Extraction
from budwood.images.broken import leave_out_broken, said_of_broken
from budwood.images.folder import ImageFolder, load_test
from budwood.judging.honesty import Honesty
from budwood.judging.metrics import Evaluation
from budwood.judging.pairing import Paired, paired
from budwood.judging.trust import rule_of
from budwood.run_folders import request_of
from budwood.runs import warning_of


@displayed
@dataclass(frozen=True)
class Judgement:
    """A saved classifier judged on labelled photos."""

    run: Path
    data: Path
    evaluation: Evaluation
    honesty: Honesty
    precision: str
    """Arithmetic of the frozen part."""
    skipped: int
    notes: tuple[str, ...]
    warning: str | None

    def to_json(self) -> dict[str, Any]:
        """The object of `evaluate --json`."""
        return {
            "run": str(self.run),
            "data": str(self.data),
            "test": self.evaluation.to_json(),
            **self.honesty.to_json(),
            "precision": self.precision,
            "images": {"test": self.evaluation.photos, "skipped": self.skipped},
            "notes": list(self.notes),
            "warning": self.warning,
        }

    def __str__(self) -> str:
        parts = (str(self.evaluation), str(self.honesty), self.warning)
        return "\n\n".join(part for part in parts if part)


@displayed
@dataclass(frozen=True)
class PairedJudgement:
    """Two saved classifiers judged on the same labelled photos."""

    runs: tuple[Path, Path]
    judgements: tuple[Judgement, Judgement]
    paired: Paired

    def to_json(self) -> dict[str, Any]:
        """The object of `evaluate RUN RUN DATA --json`."""
        return {
            "runs": [judgement.to_json() for judgement in self.judgements],
            "paired": self.paired.to_json(),
        }

    def __str__(self) -> str:
        lines = [
            f"{name} {run}: top-1 {j.evaluation.top1:.3f} (95 % interval "
            f"{j.evaluation.top1_interval[0]:.3f} to {j.evaluation.top1_interval[1]:.3f})\n"
            f"{j.honesty}"
            for name, run, j in zip(("first ", "second"), self.runs, self.judgements, strict=True)
        ]
        return "\n\n".join([*lines, str(self.paired)])


@dataclass(frozen=True)
class _Judged:
    """What became of one photo."""

    is_right: bool
    group: int


def evaluate_pair(
    runs: tuple[Path, Path],
    data: Path,
    strict: bool,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
    abstain: float | None = None,
) -> PairedJudgement:
    """Judge two classifiers on the same photos: those that both can read and know the class of.

    Args:
        runs: Their folders or capsules.
        data: Labelled photos.
        strict: Whether a single broken photo is an error.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass over the photos is.
        abstain: The target error rate of answered photos; None answers all.

    Raises:
        CapsuleError: If a run cannot be read.
        DataError: If the folder cannot, or no photo is left that both can judge.
        ConfigError: If one cannot abstain, or `abstain` is no rate.
    """
    (one, first), (other, second) = (
        _judged(run, data, strict, on_note, on_progress, abstain) for run in runs
    )
    both = sorted(first.keys() & second.keys())
    if not both:
        raise DataError(
            f"{runs[0]} and {runs[1]} have no photo of {data} in common.",
            expected="Both must know its classes by the same names.",
            file=data,
        )
    left, right = (np.array([found[path].is_right for path in both]) for found in (first, second))
    groups = np.array([first[path].group for path in both])
    return PairedJudgement(runs, (one, other), paired(left, right, groups))


def evaluate_run(
    run: Path,
    data: Path,
    strict: bool,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
    abstain: float | None = None,
) -> Judgement:
    """Judge the classifier of a run on a folder of photos.

    Args:
        run: Its folder or capsule.
        data: Labelled photos.
        strict: Whether a single broken photo is an error.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass over the photos is.
        abstain: The target error rate of answered photos; None answers all.

    Raises:
        CapsuleError: If the run cannot be read.
        DataError: If the folder cannot, or a class is largely broken.
        ConfigError: If it cannot abstain, or `abstain` is no rate.
    """
    return _judged(run, data, strict, on_note, on_progress, abstain)[0]


def _judged(
    run: Path,
    data: Path,
    strict: bool,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
    abstain: float | None = None,
) -> tuple[Judgement, dict[Path, _Judged]]:
    """What a classifier reaches, on the whole and of each photo."""
    capsule = read_capsule(run)
    # The closest calls fall otherwise in bf16: what was judged in fp32 is judged so again.
    exact = Extraction(precision="fp32") if capsule.precision == "fp32" else Extraction()
    model = unpacked(capsule, extraction=exact, on_note=on_note, on_progress=on_progress)
    if abstain is not None:
        rule_of(model.trust_, abstain, str(run))  # told before hours go into the photos
    asked = request_of(run) or {}  # a list's own column of groups is none of its mistakes
    depth = model.preprocessing.depth
    split, notes = load_test(data, model.class_names, asked.get("group"), depth)
    photos = ImageFolder(data, model.class_names, split, None, None, notes)
    gathered = model.gather(split.paths)
    before, photos = photos, leave_out_broken(photos, gathered.broken, strict=strict)
    for note in (*notes, *said_of_broken(before, photos)):
        on_note(note)
    said = tuple(str(note) for note in photos.notes)
    judged = model.judge(photos.train, abstain)
    groups = photos.train.groups or range(len(photos.train))
    of_each = {
        path: _Judged(is_right, group)
        for path, is_right, group in zip(
            photos.train.paths, judged.right.tolist(), groups, strict=True
        )
    }
    judgement = Judgement(
        run,
        data,
        judged.evaluation,
        judged.honesty,
        gathered.engine.precision,
        len(gathered.broken),
        said,
        warning_of(model),
    )
    return judgement, of_each
