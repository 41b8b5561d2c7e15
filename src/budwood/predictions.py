"""What a saved classifier says to photos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.compiled import compiled_classifier
from budwood.errors import DataError
from budwood.features.extraction import OnProgress
from budwood.images.trees import grow
from budwood.judging.calibration import softmax
from budwood.judging.selective import SelectiveRule
from budwood.judging.trust import Answers, Trust, rule_of
from budwood.networks.origins import RANDOM_WEIGHTS

PREDICTED_AT_ONCE = 4096
"""Photos whose features are held in memory at once."""
FEW = 200
"""Photos that are sooner predicted than torch is imported."""


@dataclass(frozen=True)
class Prediction:
    """What a classifier says to one photo."""

    path: str
    top: tuple[tuple[str, float], ...]
    """The best classes with their probabilities, best first."""
    unknown: str | None = None
    """Why it is not answered, where abstaining was asked for; None if it is answered."""
    probabilities: NDArray[np.float32] | None = field(default=None, compare=False)
    """Of every class, where they were asked for."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says to some photos."""

    classes: tuple[str, ...]
    photos: tuple[Prediction, ...]
    skipped: dict[str, str]
    """Photos that cannot be read, with the reason."""
    warning: str | None
    rule: SelectiveRule | None = None
    """Which photos are answered, where abstaining was asked for."""

    def to_json(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        return {
            "classes": list(self.classes),
            "abstain": self.rule and self.rule.to_json(),
            "predictions": [
                {
                    "path": photo.path,
                    "class": None if photo.unknown else photo.top[0][0],
                    "unknown": photo.unknown,
                    "probability": photo.top[0][1],
                    "top": [{"class": name, "probability": p} for name, p in photo.top],
                }
                for photo in self.photos
            ],
            "skipped": [{"path": path, "reason": why} for path, why in self.skipped.items()],
            "warning": self.warning,
        }

    def __str__(self) -> str:
        width = max((len(photo.path) for photo in self.photos), default=0)
        lines = [
            f"{photo.path:<{width}}  {_unknown(photo)}"
            + ", ".join(f"{name} {p:.3f}" for name, p in photo.top)
            for photo in self.photos
        ]
        said = [] if self.rule is None else [f"{str(self.rule).capitalize()}."]
        return "\n".join([*lines, *said, *([self.warning] if self.warning else [])])


def _unknown(photo: Prediction) -> str:
    return "" if photo.unknown is None else f"unknown ({photo.unknown}); nearest: "


def predict_run(
    run: Path,
    paths: Sequence[Path],
    top: int,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
    abstain: float | None = None,
    every_class: bool = False,
) -> Predictions:
    """Predict photos, and the photos in folders, with the classifier of a run.

    Args:
        run: The run's folder or its capsule.
        paths: Photos and folders of photos.
        top: Classes named per photo.
        on_note: Told of photos that cannot be read, a line each.
        on_progress: Told how far it is.
        abstain: The target error rate of answered photos; the others are unknown. None answers
            all.
        every_class: Keep the probabilities of all classes, not of those named alone.

    Raises:
        CapsuleError: If the run cannot be read.
        DataError: If a path does not exist, or no photo at all can be read.
        ConfigError: If it cannot abstain, or `abstain` is no rate.
    """
    photos = [photo for path in paths for photo in _photos_at(path)]
    if not photos:
        raise DataError("No photo was given.", next="Pass photos, or folders that hold some.")
    saved = _saved(run, len(photos), on_note, on_progress)
    rule = None if abstain is None else rule_of(saved.trust, abstain, str(run))
    found: list[Prediction] = []
    skipped: dict[str, str] = {}
    for start in range(0, len(photos), PREDICTED_AT_ONCE):
        part = photos[start : start + PREDICTED_AT_ONCE]
        answers = saved.answers(part)
        good = [path for path in part if path not in answers.unreadable]
        skipped |= {str(path): reason for path, reason in answers.unreadable.items()}
        shares = softmax(answers.logits, 1.0 if saved.trust is None else saved.trust.temperature)
        reasons = [None] * len(good) if rule is None else rule.reasons(shares, answers.ood)
        for path, row, reason in zip(good, shares, reasons, strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            ranked = tuple((saved.classes[i], float(row[i])) for i in best)
            kept = row.astype(np.float32) if every_class else None
            found.append(Prediction(str(path), ranked, reason, kept))
    if not found:
        raise _none_readable(skipped)
    for name, reason in skipped.items():
        on_note(f"{name} is passed over: {reason}")
    return Predictions(saved.classes, tuple(found), skipped, saved.warning, rule)


@dataclass(frozen=True)
class _Saved:
    """A saved classifier, however it answers."""

    classes: tuple[str, ...]
    warning: str | None
    trust: Trust | None
    answers: Callable[[Sequence[Path]], Answers]


def _saved(
    run: Path,
    photos: int,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
) -> _Saved:
    """A saved classifier: without torch if possible.

    Many photos are worth the engine that is made for throughput, and the feature store.
    """
    compiled = compiled_classifier(run, photos, on_note) if photos <= FEW else None
    if compiled is not None:
        warning = RANDOM_WEIGHTS if compiled.is_random else None
        return _Saved(
            compiled.classes,
            warning,
            compiled.trust,
            lambda part: compiled.answers(part, on_progress),
        )
    from budwood.classifier import load  # torch is loaded here
    from budwood.runs import warning_of

    model = load(run, on_note=on_note, on_progress=on_progress)
    return _Saved(model.class_names, warning_of(model), model.trust_, model.answers)


def _none_readable(skipped: dict[str, str]) -> DataError:
    name, reason = next(iter(skipped.items()))
    others = f" Nor can the {len(skipped) - 1} others." if len(skipped) > 1 else ""
    return DataError(f"{name} cannot be read: {reason}{others}", next="Pass others.", file=name)


def _photos_at(path: Path) -> list[Path]:
    """A photo itself, or the photos in a folder, its subfolders included."""
    if not path.exists():
        raise DataError(f"There is no photo or folder {path}.", next="Check the path.", file=path)
    if not path.is_dir():
        return [path]
    photos = grow(path).all_photos()
    if not photos:
        raise DataError(
            f"There is no photo in {path}.",
            expected="JPEG, PNG, WebP, BMP, GIF and TIFF files are looked for.",
            file=path,
        )
    return photos
