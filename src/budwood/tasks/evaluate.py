"""A saved classifier judged on labelled photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from budwood.capsule.pack import read_capsule
from budwood.data.folder import ImageFolder, leave_out_unreadable, load_test, unreadable_lines
from budwood.display import displayed
from budwood.errors import DataError
from budwood.evaluation.held_out_statistics import rule_of
from budwood.evaluation.metrics import Evaluation
from budwood.evaluation.pairing import PairedTest, paired
from budwood.evaluation.reliability import CalibrationReport
from budwood.features.gathering import Extraction
from budwood.image_classifier import ImageClassifier
from budwood.reporter import SILENT, Reporter
from budwood.run_folders import settings_of_run


@displayed
@dataclass(frozen=True)
class RunEvaluation:
    """A saved classifier judged on labelled photos."""

    run: Path
    data: Path
    evaluation: Evaluation
    calibration: CalibrationReport
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
            **self.calibration.to_json(),
            "precision": self.precision,
            "images": {"test": self.evaluation.images, "unreadable": self.skipped},
            "notes": list(self.notes),
            "warning": self.warning,
        }

    def __str__(self) -> str:
        parts = (str(self.evaluation), str(self.calibration), self.warning)
        return "\n\n".join(part for part in parts if part)


@displayed
@dataclass(frozen=True)
class PairedRuns:
    """Two saved classifiers judged on the same labelled photos."""

    runs: tuple[Path, Path]
    judgements: tuple[RunEvaluation, RunEvaluation]
    paired: PairedTest

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
            f"{j.calibration}"
            for name, run, j in zip(("first ", "second"), self.runs, self.judgements, strict=True)
        ]
        return "\n\n".join([*lines, str(self.paired)])


def evaluate(
    run: Path | str | Sequence[Path | str],
    data: Path | str,
    *,
    abstain: float | None = None,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> RunEvaluation | PairedRuns:
    """Judge a saved classifier on labelled photos; or two on the same, and say which is better.

    Args:
        run: The folder of a run, or its capsule; or a pair of such. Of a pair, photos count that
            both can read and know the class of.
        data: Labelled photos; where there are train, val and test folders, the test photos.
        abstain: The target error rate of answered photos; None answers all.
        strict: Whether a single unreadable image is an error.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        CapsuleError: If a run cannot be read.
        DataError: If the folder cannot, or hardly a class, or no image is left that both
            can judge.
        ConfigError: If one cannot abstain, or `abstain` is no rate.
    """
    runs = [Path(run)] if isinstance(run, str | Path) else [Path(one) for one in run]
    judged = [_judged(one, Path(data), strict, reporter, abstain) for one in runs]
    if isinstance(run, str | Path):
        return judged[0][0]
    (one, first), (other, second) = judged
    both = sorted(first.keys() & second.keys())
    if not both:
        raise DataError(
            f"{one.run} and {other.run} have no photo of {data} in common.",
            expected="Both must know its classes by the same names.",
            file=data,
        )
    left, right = (np.array([hits[path] for path in both]) for hits in (first, second))
    better = paired(left[:, 0].astype(bool), right[:, 0].astype(bool), left[:, 1])
    return PairedRuns((one.run, other.run), (one, other), better)


def _judged(
    run: Path,
    data: Path,
    strict: bool,
    reporter: Reporter,
    abstain: float | None = None,
) -> tuple[RunEvaluation, dict[Path, tuple[bool, int]]]:
    """What a classifier reaches, and of each photo whether it is right and its group."""
    capsule = read_capsule(run)
    # The closest calls fall otherwise in bf16: what was judged in fp32 is judged so again.
    exact = Extraction(precision="fp32") if capsule.precision == "fp32" else Extraction()
    model = ImageClassifier.of_capsule(capsule, extraction=exact, reporter=reporter)
    if abstain is not None:
        rule_of(model.statistics_, abstain, str(run))  # told before hours go into the photos
    asked = settings_of_run(run)  # a list's own column of groups is none of its mistakes
    depth = model.preprocessing.depth
    split, notes = load_test(data, model.class_names, None if asked is None else asked.group, depth)
    images = ImageFolder(data, model.class_names, split, None, None, notes)
    gathered = model.gather(split.paths)
    before, images = images, leave_out_unreadable(images, gathered.unreadable, strict=strict)
    for note in (*notes, *unreadable_lines(before, images)):
        reporter.note(note)
    said = tuple(str(note) for note in images.notes)
    judged = model.judge(images.train, abstain)
    judgement = RunEvaluation(
        run,
        data,
        judged.evaluation,
        judged.calibration,
        gathered.engine.precision,
        len(gathered.unreadable),
        said,
        model.warning,
    )
    groups = images.train.groups or range(len(images.train))
    hits = zip(judged.right.tolist(), groups, strict=True)
    return judgement, dict(zip(images.train.paths, hits, strict=True))
