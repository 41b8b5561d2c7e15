"""What a saved classifier says to photos."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.compiled import compiled_classifier
from budwood.errors import DataError
from budwood.features.extraction import OnProgress
from budwood.images.notes import Note, count, few_or_one
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
    probabilities: tuple[float, ...]
    """Of every class."""
    unknown: str | None = None
    """Why it is not answered, where abstaining was asked for; None if it is answered."""


@dataclass(frozen=True)
class Predictions:
    """What a classifier says to some photos."""

    classes: tuple[str, ...]
    photos: tuple[Prediction, ...]
    skipped: dict[str, str]
    """What is not there or cannot be read, with the reason."""
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
) -> Predictions:
    """Predict photos, and the photos in folders, with the classifier of a run.

    Args:
        run: The run's folder or its capsule.
        paths: Photos and folders of photos.
        top: Classes named per photo.
        on_note: Told of photos that are not there or cannot be read.
        on_progress: Told how far it is.
        abstain: The target error rate of answered photos; the others are unknown. None answers
            all.

    Raises:
        CapsuleError: If the run cannot be read.
        DataError: If no photo at all is there and can be read; other paths are passed over.
        ConfigError: If it cannot abstain, or `abstain` is no rate.
    """
    photos, skipped = _all_photos(paths)
    saved = _saved(run, len(photos), on_note, on_progress)
    rule = None if abstain is None else rule_of(saved.trust, abstain, str(run))
    found: list[Prediction] = []
    for start in range(0, len(photos), PREDICTED_AT_ONCE):
        part = photos[start : start + PREDICTED_AT_ONCE]
        answers = saved.answers(part)
        good = [path for path in part if path not in answers.unreadable]
        skipped |= {str(path): reason for path, reason in answers.unreadable.items()}
        shares = softmax(answers.logits, 1.0 if saved.trust is None else saved.trust.temperature)
        reasons = [None] * len(good) if rule is None else rule.reasons(shares, answers.ood)
        for path, row, reason in zip(good, shares.tolist(), reasons, strict=True):
            ranked = sorted(zip(saved.classes, row, strict=True), key=lambda pair: -pair[1])
            found.append(Prediction(str(path), tuple(ranked[:top]), tuple(row), reason))
    if not found:
        raise _none_readable(skipped)
    for note in few_or_one(
        [Note("skipped", f"{name} is passed over: {reason}") for name, reason in skipped.items()],
        list(skipped),
        "{number} photos are passed over: {names}. --json names all, with the reason.",
    ):
        on_note(note)
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
    compiled = compiled_classifier(run, photos) if photos <= FEW else None
    if compiled is not None:
        warning = RANDOM_WEIGHTS if compiled.is_random else None
        return _Saved(
            compiled.classes,
            warning,
            compiled.trust,
            lambda part: compiled.answers(part, on_progress, on_note),
        )
    from budwood.classifier import load  # torch is loaded here
    from budwood.runs import warning_of

    model = load(run, on_note=on_note, on_progress=on_progress)
    return _Saved(model.classes_, warning_of(model), model.trust_, model.answers)


def _none_readable(skipped: dict[str, str]) -> DataError:
    name, reason = next(iter(skipped.items()))
    others = f" Nor can {count(len(skipped) - 1, 'other')}." if len(skipped) > 1 else ""
    return DataError(
        f"{name} cannot be read: {reason}{others}",
        next="Copy it again, convert it to PNG or JPEG, or pass other photos.",
        file=name,
    )


def _all_photos(paths: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """The photos at these paths, and why there are none at others.

    Raises:
        DataError: If there is no photo at all.
    """
    photos: list[Path] = []
    problems: dict[str, DataError] = {}
    for path in paths:
        try:
            photos += _photos_at(path)
        except DataError as problem:
            problems[str(path)] = problem
    if photos:
        return photos, {path: problem.problem for path, problem in problems.items()}
    if not problems:
        raise DataError("No photo was given.", next="Pass photos, or folders that hold some.")
    first = next(iter(problems.values()))
    more = len(problems) - 1
    others = f" Nor is there any at {count(more, 'other path')}." if more else ""
    raise DataError(
        f"{first.problem}{others}", expected=first.expected, next=first.next, file=first.file
    )


def _photos_at(path: Path) -> list[Path]:
    """A photo itself, or the photos in a folder, its subfolders included."""
    if not os.path.exists(path):  # unlike Path.exists, False of what is too long to be a name
        link = os.path.islink(path) and os.readlink(path)
        raise DataError(
            f"{path} is a link to {link}, which is not there."
            if link
            else f"There is no photo or folder {path}.",
            next="Check the path.",
            file=path,
        )
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
