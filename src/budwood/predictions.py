"""What a saved classifier says to photos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.classifier import load
from budwood.errors import DataError
from budwood.features.extraction import OnProgress
from budwood.images.trees import grow
from budwood.runs import warning_of

PREDICTED_AT_ONCE = 4096
"""Photos whose features are held in memory at once."""


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
    model = load(run, on_note=on_note, on_progress=on_progress)
    found: list[Prediction] = []
    skipped: dict[str, str] = {}
    for start in range(0, len(photos), PREDICTED_AT_ONCE):
        part = photos[start : start + PREDICTED_AT_ONCE]
        logits, broken = model.logits(part)
        good = [path for path in part if path not in broken]
        skipped |= {str(path): reason for path, reason in broken.items()}
        for path, row in zip(good, logits.softmax(1).tolist(), strict=True):
            ranked = sorted(zip(model.classes_, row, strict=True), key=lambda pair: -pair[1])
            found.append(Prediction(str(path), tuple(ranked[:top]), tuple(row)))
    if not found:
        raise _none_readable(skipped)
    for name, reason in skipped.items():
        on_note(f"{name} is passed over: {reason}")
    return Predictions(model.classes_, tuple(found), skipped, warning_of(model))


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
