"""A saved classifier judged on labelled photos."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.classifier import load
from budwood.features.extraction import OnProgress
from budwood.images.broken import leave_out_broken
from budwood.images.folder import ImageFolder, load_test
from budwood.judging.metrics import Evaluation
from budwood.runs import warning_of


@dataclass(frozen=True)
class Judgement:
    """A saved classifier judged on labelled photos."""

    run: Path
    data: Path
    evaluation: Evaluation
    skipped: int
    notes: tuple[str, ...]
    warning: str | None

    def to_json(self) -> dict[str, Any]:
        """The object of `evaluate --json`."""
        return {
            "run": str(self.run),
            "data": str(self.data),
            "test": self.evaluation.to_json(),
            "images": {"test": self.evaluation.photos, "skipped": self.skipped},
            "notes": list(self.notes),
            "warning": self.warning,
        }

    def __str__(self) -> str:
        return "\n\n".join(part for part in (str(self.evaluation), self.warning) if part)


def evaluate_run(
    run: Path,
    data: Path,
    strict: bool,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
) -> Judgement:
    """Judge the classifier of a run on a folder of photos.

    Raises:
        CapsuleError: If the run cannot be read.
        DataError: If the folder cannot, or a class is largely broken.
    """
    model = load(run, on_note=on_note, on_progress=on_progress)
    split, notes = load_test(data, model.classes_)
    photos = ImageFolder(data, model.classes_, split, None, None, notes)
    gathered = model.gather(split.paths)
    photos = leave_out_broken(photos, gathered.broken, strict=strict)
    for note in photos.notes:
        on_note(note)
    said = tuple(str(note) for note in photos.notes)
    evaluation = model.evaluate(photos.train)
    return Judgement(run, data, evaluation, len(gathered.broken), said, warning_of(model))
