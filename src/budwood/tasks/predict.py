"""What a saved classifier says to photos."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from budwood.capsule.fast import CompiledClassifier, compiled_classifier
from budwood.data.labels import Note, few_or_one
from budwood.data.scan import grow
from budwood.display import displayed
from budwood.errors import ConfigError, DataError
from budwood.evaluation.calibration import softmax
from budwood.evaluation.held_out_statistics import rule_of
from budwood.evaluation.selective import SelectiveRule
from budwood.reporter import SILENT, Reporter
from budwood.run_folders import run_or_network
from budwood.text import count, shown, visible

if TYPE_CHECKING:
    from budwood.image_classifier import ImageClassifier

PREDICTED_AT_ONCE = 4096
"""Photos whose features are held in memory at once."""
_OWN_CLASSES = (
    "The probabilities are the network's own (softmax), not calibrated on your photos: each "
    "photo is given one of its {:,} classes, whatever it shows."
)


@displayed
@dataclass(frozen=True)
class Prediction:
    """What a classifier says to one photo."""

    path: str
    top: tuple[tuple[str, float], ...]
    """The best classes with their probabilities, best first."""
    unknown: str | None = None
    """Why it is not answered, where abstaining was asked for; None if it is answered."""
    probabilities: NDArray[np.float64] | None = field(default=None, compare=False)
    """Of every class, where they were asked for."""


@displayed
@dataclass(frozen=True)
class Predictions:
    """What a classifier says to some photos."""

    classes: tuple[str, ...]
    images: tuple[Prediction, ...]
    skipped: dict[str, str]
    """What is not there or cannot be read, with the reason."""
    warning: str | None
    rule: SelectiveRule | None = None
    """Which photos are answered, where abstaining was asked for."""
    network: str | None = None
    """Of a network of the catalogue that answers with its own classes, its name."""

    def to_json(self) -> dict[str, Any]:
        """The object of `predict --json`."""
        return {
            "classes": list(self.classes),
            "abstain": self.rule and self.rule.to_json(),
            "predictions": [
                {
                    "path": image.path,
                    "class": None if image.unknown else image.top[0][0],
                    "unknown": image.unknown,
                    "probability": image.top[0][1],
                    "top": [{"class": name, "probability": p} for name, p in image.top],
                }
                for image in self.images
            ],
            "skipped": [{"path": path, "reason": why} for path, why in self.skipped.items()],
            "warning": self.warning,
        }

    def __str__(self) -> str:
        if self.network is not None:
            return f"{_table(self.images)}\n\n{self.warning}"
        paths = [shown(image.path) for image in self.images]
        width = max(map(len, paths), default=0)
        lines = [
            f"{path:<{width}}  {_unknown(image)}"
            + ", ".join(f"{shown(name)} {p:.3f}" for name, p in image.top)
            for path, image in zip(paths, self.images, strict=True)
        ]
        said = [] if self.rule is None else [f"{str(self.rule).capitalize()}."]
        return "\n".join([*lines, *said, *([self.warning] if self.warning else [])])


def _table(images: Sequence[Prediction]) -> str:
    """A line for each of the best classes of each photo."""
    rows = [("photo", "class", "probability")]
    for image in images:
        paths = [image.path, *[""] * (len(image.top) - 1)]
        rows += [
            (at, name, f"{100 * p:.1f} %") for at, (name, p) in zip(paths, image.top, strict=True)
        ]
    path, name = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"{a:{path}}  {b:{name}}  {c:>11}" for a, b, c in rows)


def _unknown(image: Prediction) -> str:
    return "" if image.unknown is None else f"unknown ({image.unknown}); nearest: "


def predict(
    what: Path | str,
    images: Sequence[Path | str],
    *,
    top: int | None = None,
    abstain: float | None = None,
    every_class: bool = False,
    reporter: Reporter = SILENT,
) -> Predictions:
    """Which classes photos are of, by the classifier of a run or by a network as it is published.

    Args:
        what: The folder of a run or its capsule, or, if there is no such path, the name of a
            network in the catalogue, which answers with its own classes.
        images: Photos, and folders of photos.
        top: Classes named per photo; None: 3, and 5 of a network's own.
        abstain: The target error rate of answered photos; None answers all.
        every_class: Keep the probabilities of all classes, not of those named alone.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        DataError: If there is no such run or network, or no photo at all is there and can be read.
        CapsuleError: If the run cannot be read.
        WeightsError: If the network has no published weights, or they cannot be had.
        ConfigError: If it cannot abstain, or nothing tells the network's classes.
    """
    files, skipped = _all_images([Path(image) for image in images])
    run = run_or_network(what)
    network = run if isinstance(run, str) else None
    top = top or (3 if network is None else 5)
    if network is not None and abstain is not None:
        raise _cannot_abstain(network)
    model = _published(run, reporter) if isinstance(run, str) else _saved(run, len(files), reporter)
    statistics = model.statistics_
    rule = None if abstain is None else rule_of(statistics, abstain, str(run))
    found: list[Prediction] = []
    for start in range(0, len(files), PREDICTED_AT_ONCE):
        part = files[start : start + PREDICTED_AT_ONCE]
        answers = model.answers(part)
        good = [path for path in part if path not in answers.unreadable]
        skipped |= {str(path): reason for path, reason in answers.unreadable.items()}
        shares = softmax(answers.logits, 1.0 if statistics is None else statistics.temperature)
        reasons = [None] * len(good) if rule is None else rule.reasons(shares, answers.ood)
        for path, row, reason in zip(good, shares, reasons, strict=True):
            best = np.argsort(-row, kind="stable")[:top]
            ranked = tuple((model.class_names[i], float(row[i])) for i in best)
            found.append(Prediction(str(path), ranked, reason, row if every_class else None))
    if not found:
        raise _none_readable(skipped)
    for note in few_or_one(
        [
            Note("skipped", f"{visible(name)} is passed over: {reason}")
            for name, reason in skipped.items()
        ],
        list(skipped),
        "{number} photos are passed over: {names}. --json names all, with the reason.",
    ):
        reporter.note(note)
    warning = model.warning if network is None else _OWN_CLASSES.format(len(model.class_names))
    return Predictions(model.class_names, tuple(found), skipped, warning, rule, network)


def _saved(run: Path, images: int, reporter: Reporter) -> "CompiledClassifier | ImageClassifier":
    """A saved classifier, without torch if possible."""
    if (compiled := compiled_classifier(run, images, reporter)) is not None:
        return compiled
    from budwood.image_classifier import ImageClassifier  # torch is loaded here

    return ImageClassifier.load(run, reporter=reporter)


def _published(name: str, reporter: Reporter) -> "ImageClassifier":
    """A network of the catalogue, which answers with its own classes."""
    from budwood.image_classifier import ImageClassifier  # torch is loaded here
    from budwood.tasks.preparing import published_network

    return ImageClassifier.of_fitted(published_network(name), reporter=reporter)


def _cannot_abstain(network: str) -> ConfigError:
    return ConfigError(
        f"{network} cannot tell when to abstain: its own probabilities are not calibrated.",
        next=f"Train it on photos of your classes: `budwood train PHOTOS --model {network}`.",
    )


def _none_readable(skipped: dict[str, str]) -> DataError:
    name, reason = next(iter(skipped.items()))
    others = f" Nor can {count(len(skipped) - 1, 'other')}." if len(skipped) > 1 else ""
    return DataError(
        f"{name} cannot be read: {reason}{others}",
        next="Copy it again, convert it to PNG or JPEG, or pass other photos.",
        file=name,
    )


def _all_images(paths: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """The photos at these paths, and why there are none at others.

    Raises:
        DataError: If there is no photo at all.
    """
    images: list[Path] = []
    problems: dict[str, DataError] = {}
    for path in paths:
        try:
            images += _images_at(path)
        except DataError as problem:
            problems[str(path)] = problem
    if images:
        return images, {path: problem.problem for path, problem in problems.items()}
    if not problems:
        raise DataError("No photo was given.", next="Pass photos, or folders that hold some.")
    first = next(iter(problems.values()))
    more = len(problems) - 1
    others = f" Nor is there any at {count(more, 'other path')}." if more else ""
    raise DataError(
        f"{first.problem}{others}", expected=first.expected, next=first.next, file=first.file
    )


def _images_at(path: Path) -> list[Path]:
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
    images = grow(path).all_images()
    if not images:
        raise DataError(
            f"There is no photo in {path}.",
            expected="JPEG, PNG, WebP, BMP, GIF and TIFF files are looked for.",
            file=path,
        )
    return images
