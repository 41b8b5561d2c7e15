"""What a saved classifier says to photos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.compiled import compiled_classifier
from budwood.errors import DataError
from budwood.features.extraction import OnProgress
from budwood.images.trees import grow
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


@dataclass(frozen=True)
class Predictions:
    """What a classifier says to some photos."""

    classes: tuple[str, ...]
    photos: tuple[Prediction, ...]
    skipped: dict[str, str]
    """Photos that cannot be read, with the reason."""
    warning: str | None

    def to_json(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        return {
            "classes": list(self.classes),
            "predictions": [
                {
                    "path": photo.path,
                    "class": photo.top[0][0],
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
            f"{photo.path:<{width}}  " + ", ".join(f"{name} {p:.3f}" for name, p in photo.top)
            for photo in self.photos
        ]
        return "\n".join([*lines, *([self.warning] if self.warning else [])])


def predict_run(
    run: Path,
    paths: Sequence[Path],
    top: int,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
) -> Predictions:
    """Predict photos, and the photos in folders, with the classifier of a run.

    Args:
        run: The run's folder or its capsule.
        paths: Photos and folders of photos.
        top: Classes named per photo.
        on_note: Told of photos that cannot be read, a line each.
        on_progress: Told how far it is.

    Raises:
        CapsuleError: If the run cannot be read.
        DataError: If a path does not exist, or no photo at all can be read.
    """
    photos = [photo for path in paths for photo in _photos_at(path)]
    if not photos:
        raise DataError("No photo was given.", next="Pass photos, or folders that hold some.")
    classes, warning, answers = _classifier(run, len(photos), on_note, on_progress)
    found: list[Prediction] = []
    skipped: dict[str, str] = {}
    for start in range(0, len(photos), PREDICTED_AT_ONCE):
        part = photos[start : start + PREDICTED_AT_ONCE]
        logits, broken = answers(part)
        good = [path for path in part if path not in broken]
        skipped |= {str(path): reason for path, reason in broken.items()}
        for path, row in zip(good, _softmax(logits).tolist(), strict=True):
            ranked = sorted(zip(classes, row, strict=True), key=lambda pair: -pair[1])
            found.append(Prediction(str(path), tuple(ranked[:top]), tuple(row)))
    if not found:
        raise _none_readable(skipped)
    for name, reason in skipped.items():
        on_note(f"{name} is passed over: {reason}")
    return Predictions(classes, tuple(found), skipped, warning)


Answers = Callable[[Sequence[Path]], tuple[NDArray[np.float32], dict[Path, str]]]
"""Logits of the photos that can be read, in order, and the others with the reason."""


def _classifier(
    run: Path,
    photos: int,
    on_note: Callable[[object], None],
    on_progress: OnProgress | None,
) -> tuple[tuple[str, ...], str | None, Answers]:
    """Classes, what must be said with every answer, and the answers: without torch if possible.

    Many photos are worth the engine that is made for throughput, and the feature store.
    """
    compiled = compiled_classifier(run, photos) if photos <= FEW else None
    if compiled is not None:
        warning = RANDOM_WEIGHTS if compiled.is_random else None
        return compiled.classes, warning, lambda part: compiled.logits(part, on_progress)
    from budwood.classifier import load  # torch is loaded here
    from budwood.runs import warning_of

    model = load(run, on_note=on_note, on_progress=on_progress)

    def answers(part: Sequence[Path]) -> tuple[NDArray[np.float32], dict[Path, str]]:
        logits, broken = model.logits(part)
        return logits.numpy(), broken

    return model.classes_, warning_of(model), answers


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return shares


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
