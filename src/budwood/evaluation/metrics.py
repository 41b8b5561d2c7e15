"""Figures from logits: accuracy with its interval, every class, and the photos worth a look."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import ConfigError, DataError
from budwood.intervals import accuracy_interval
from budwood.tensors import Labels, Logits
from budwood.text import aligned


@dataclass(frozen=True)
class Mistake:
    """One photo that a classifier gets wrong, or hardly gets right."""

    path: str
    label: str
    predicted: str
    probability: float
    """The predicted class's."""
    label_probability: float


def _most_unsure(
    judged: Sequence[Mistake], probabilities: np.ndarray, worst: int
) -> tuple[Mistake, ...]:
    """The smallest margins between the best two classes, right or wrong; ties go by path."""
    second, best = np.sort(probabilities, axis=1)[:, -2:].T
    order = sorted(
        zip((best - second).tolist(), judged, strict=True),
        key=lambda pair: (pair[0], *_confidently_wrong(pair[1])[2:]),
    )
    return tuple(image for _, image in order[:worst])


def _mistake_table(title: str, mistakes: Sequence[Mistake]) -> str:
    """The photos as a table under a heading; nothing at all if there are none."""
    if not mistakes:
        return ""
    head = (title, "is", "predicted", "probability", "of the truth")
    rows = [
        (m.path, m.label, m.predicted, f"{m.probability:.3f}", f"{m.label_probability:.3f}")
        for m in mistakes
    ]
    return aligned([head, *rows], words=3)


def _confidently_wrong(mistake: Mistake) -> tuple[float, float, str, str, str]:
    m = mistake
    return -m.probability, m.label_probability, m.path, m.label, m.predicted


_ALL_UP_TO, _WORST = 30, 20
"""Classes that a table names; of more, so many that do worst."""
_TOP5_FROM = 10  # with fewer classes, five guesses are no feat


@displayed
@dataclass(frozen=True)
class ClassResult:
    """How one class fares; a share of nothing (no prediction, no photo) is None."""

    name: str
    precision: float | None
    """Share of the photos predicted as this class that are of it."""
    recall: float | None
    """Share of this class's photos that are predicted as it."""
    f1: float | None
    images: int
    recall_interval: tuple[float, float] | None = None
    """The 95 % interval of the recall; each class by itself, whatever their number."""


@displayed
@dataclass(frozen=True)
class Evaluation:
    """What a classifier reaches on labelled photos; printed, it is a table."""

    images: int
    top1: float
    top1_interval: tuple[float, float]
    """Wilson's 95 % interval, of as many independent photos as these are worth."""
    top5: float | None
    """Share of photos whose class is among the best five; None with fewer than 10 classes."""
    balanced_accuracy: float
    """Mean recall of the classes that have photos."""
    loss: float
    """Mean cross entropy in nats."""
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Photos by class: rows are the truth, columns what was predicted."""
    most_wrong: tuple[Mistake, ...]
    """Wrong predictions, the most confident first."""
    most_unsure: tuple[Mistake, ...]
    """Right or wrong, the closest call between the best two classes first."""

    def to_json(self) -> dict[str, object]:
        """The evaluation as the object that `--json` prints; a share of nothing is null."""
        plain = asdict(self) | {"confusion": [list(row) for row in self.confusion]}
        lists = ("top1_interval", "classes", "most_wrong", "most_unsure")
        return plain | {name: list(plain[name]) for name in lists}

    def __str__(self) -> str:
        low, high = self.top1_interval
        top5 = "" if self.top5 is None else f"Top-5 accuracy {_share(self.top5)}, "
        figures = f"{top5}balanced accuracy {_share(self.balanced_accuracy)}, loss {self.loss:.4f}."
        parts = [
            f"Top-1 accuracy {_share(self.top1)} "
            f"(95 % interval {_share(low)} to {_share(high)}) on {self.images} photos.\n"
            f"{figures[0].upper()}{figures[1:]}",
            _class_table(self.classes),
            _mistake_table("Most wrong", self.most_wrong),
            _mistake_table("Most unsure", self.most_unsure),
        ]
        return "\n\n".join(part for part in parts if part)


def evaluate_logits(
    logits: Logits,
    labels: Labels,
    classes: Sequence[str],
    images: Sequence[str | Path],
    worst: int = 10,
    groups: NDArray[np.integer] | None = None,
) -> Evaluation:
    """The figures of a classifier that gave these logits to photos of these labels.

    The order of the photos changes nothing. Of equal scores the class that comes first wins, of
    equally bad photos the one whose path sorts first is named.

    Args:
        logits: One row a photo, one column a class.
        labels: The true class of each row, as an index into `classes`.
        classes: Class names in the order of the columns.
        images: What each row is called in the lists of worst photos.
        worst: How many photos these lists hold at most.
        groups: The group of each photo, by which intervals are wider; None: each stands for itself.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
        >>> result = evaluate_logits(logits, torch.tensor([0, 1, 1]), ["cat", "dog"], "abc")
        >>> round(result.top1, 3), result.most_wrong[0].path
        (0.667, 'c')
    """
    scores = np.asarray(logits.detach().cpu().double().numpy())
    truth = np.asarray(labels.detach().cpu().long().numpy())
    names = [str(image) for image in images]
    _check(scores, truth, classes, names, worst)

    predicted = scores.argmax(1)
    k = len(classes)
    confusion = np.bincount(truth * k + predicted, minlength=k * k).reshape(k, k)
    right = predicted == truth
    results = _class_results(confusion, classes, right, truth, groups)
    log_probabilities = _log_softmax(scores)
    correct = int(confusion.trace())
    probabilities = np.exp(log_probabilities)
    judged = [
        Mistake(name, classes[t], classes[p], float(row[p]), float(row[t]))
        for name, t, p, row in zip(names, truth, predicted, probabilities, strict=True)
    ]
    wrong = [image for image in judged if image.predicted != image.label]
    return Evaluation(
        images=len(names),
        top1=correct / len(names),
        top1_interval=accuracy_interval(right, groups),
        top5=_top5(scores, truth) if len(classes) >= _TOP5_FROM else None,
        balanced_accuracy=fmean(r.recall for r in results if r.recall is not None),
        loss=fsum(-log_probabilities[np.arange(len(truth)), truth]) / len(names),
        classes=results,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        most_wrong=tuple(sorted(wrong, key=_confidently_wrong)[:worst]),
        most_unsure=_most_unsure(judged, probabilities, worst),
    )


def _check(
    scores: np.ndarray, truth: np.ndarray, classes: Sequence[str], names: list[str], worst: int
) -> None:
    if worst < 0:
        raise ConfigError(f"worst is {worst}.", expected="It must be 0 or more.")
    if not names:
        raise DataError(
            "There are no photos to evaluate.", next="Give at least one labelled photo."
        )
    if scores.shape != (len(names), len(classes)) or truth.shape != (len(names),):
        raise DataError(
            f"Logits of shape {scores.shape} and labels of shape {truth.shape} do not fit "
            f"{len(names)} photos and {len(classes)} classes.",
            expected="There must be one row and one label a photo, and one column a class.",
        )
    if len(classes) < 2:
        raise DataError(
            f"There are {len(classes)} classes.",
            expected="At least two are needed.",
        )
    if truth.min() < 0 or truth.max() >= len(classes):
        raise DataError(
            f"Labels run from {truth.min()} to {truth.max()}.",
            expected=f"With {len(classes)} classes they must lie in 0 to {len(classes) - 1}.",
        )
    not_finite = ~np.isfinite(scores).all(1)
    if not_finite.any():
        raise DataError(
            f"The logits of {not_finite.sum()} of {len(names)} photos are not finite numbers, "
            f"first of {names[int(not_finite.argmax())]!r}.",
            next="The training has diverged or the weights are damaged: train with a lower --lr.",
        )


def _class_results(
    confusion: np.ndarray,
    classes: Sequence[str],
    right: np.ndarray,
    truth: np.ndarray,
    groups: NDArray[np.integer] | None,
) -> tuple[ClassResult, ...]:
    hits, images, predictions = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return tuple(
        ClassResult(
            name=name,
            precision=_ratio(int(hits[i]), int(predictions[i])),
            recall=_ratio(int(hits[i]), int(images[i])),
            f1=_ratio(2 * int(hits[i]), int(images[i] + predictions[i])),
            images=int(images[i]),
            recall_interval=_recall_interval(truth == i, right, groups),
        )
        for i, name in enumerate(classes)
    )


def _recall_interval(
    own: np.ndarray, right: np.ndarray, groups: NDArray[np.integer] | None
) -> tuple[float, float] | None:
    if not own.any():
        return None
    return accuracy_interval(right[own], None if groups is None else groups[own])


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _top5(scores: np.ndarray, truth: np.ndarray) -> float:
    best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    return int((best == truth[:, None]).sum()) / len(truth)


def _class_table(results: Sequence[ClassResult]) -> str:
    """The classes as a table; of very many those with photos that are recognised worst."""
    shown = results
    if len(results) > _ALL_UP_TO:
        known = [result for result in results if result.recall is not None]
        shown = sorted(known, key=lambda result: result.recall or 0.0)[:_WORST]
    more = len(results) - len(shown)
    head = ("class", "precision", "recall", "f1", "photos")
    rows = [
        (r.name, _share(r.precision), _share(r.recall), _share(r.f1), str(r.images)) for r in shown
    ]
    table = aligned([head, *rows])
    return table + (
        f"\n... {more:,} more classes; these have the lowest recall. --json, as result.json of a "
        "run, has all."
        if more
        else ""
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
