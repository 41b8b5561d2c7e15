"""The photos worth a look: where a classifier is sure and wrong, and where it cannot decide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from budwood.text import aligned


@dataclass(frozen=True)
class Mistake:
    """One photo that a classifier gets wrong, or hardly gets right."""

    path: str
    truth: str
    predicted: str
    probability: float
    """Of the predicted class."""
    truth_probability: float


def judged_photos(
    probabilities: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: Sequence[str],
    names: Sequence[str],
) -> list[Mistake]:
    """Every photo with its truth and its prediction, right ones too, in the order given."""
    return [
        Mistake(name, classes[t], classes[p], float(row[p]), float(row[t]))
        for name, t, p, row in zip(names, truth, predicted, probabilities, strict=True)
    ]


def most_wrong(judged: Sequence[Mistake], worst: int) -> tuple[Mistake, ...]:
    """The wrong predictions, the most confident first; ties go by path."""
    wrong = [photo for photo in judged if photo.predicted != photo.truth]
    return tuple(sorted(wrong, key=_confidently_wrong)[:worst])


def most_unsure(
    judged: Sequence[Mistake], probabilities: np.ndarray, worst: int
) -> tuple[Mistake, ...]:
    """The smallest margins between the best two classes, right or wrong; ties go by path."""
    second, best = np.sort(probabilities, axis=1)[:, -2:].T
    order = sorted(
        zip((best - second).tolist(), judged, strict=True),
        key=lambda pair: (pair[0], *_confidently_wrong(pair[1])[2:]),
    )
    return tuple(photo for _, photo in order[:worst])


def mistake_table(title: str, mistakes: Sequence[Mistake]) -> str:
    """The photos as a table under a heading; nothing at all if there are none."""
    if not mistakes:
        return ""
    head = (title, "is", "predicted", "probability", "of the truth")
    rows = [
        (m.path, m.truth, m.predicted, f"{m.probability:.3f}", f"{m.truth_probability:.3f}")
        for m in mistakes
    ]
    return aligned([head, *rows], words=3)


def _confidently_wrong(mistake: Mistake) -> tuple[float, float, str, str, str]:
    m = mistake
    return -m.probability, m.truth_probability, m.path, m.truth, m.predicted
