"""What a run's own features and files say of its photos; `budwood audit` looks for more."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.judging.suspects import suspects
from budwood.reporting.facts import Found, Picture
from budwood.reporting.records import Listed

FEW = 10
"""Photos; a class with fewer can hardly be learned or judged."""


def equal_photos(photos: Sequence[Listed], digests: Sequence[bytes]) -> list[Found]:
    """Photos whose files are equal: of two classes, of two splits, or merely twice there."""
    by_digest: dict[bytes, list[Listed]] = defaultdict(list)
    for photo, digest in zip(photos, digests, strict=True):
        by_digest[digest].append(photo)
    found: list[Found] = []
    for same in by_digest.values():
        labels = sorted({photo.label for photo in same})
        splits = sorted({photo.split for photo in same})
        if len(same) > 1:
            kind = "conflict" if len(labels) > 1 else "leak" if len(splits) > 1 else "copy"
            pictures = tuple(Picture(str(photo.path), photo.label) for photo in same)
            values = {
                "labels": " / ".join(labels),
                "splits": " / ".join(splits),
                "times": str(len(same)),
            }
            found.append(Found(kind, pictures, values))
    return sorted(found, key=lambda found: ("conflict", "leak", "copy").index(found.kind))


def probably_wrong(
    paths: Sequence[Path],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
) -> list[Found]:
    """Photos whose label is probably wrong, the worst first.

    Args:
        paths: `n` photos.
        labels: `n`, their classes.
        classes: Names.
        probabilities: `n k`, of each photo by a classifier that has not seen it.
    """
    return [
        Found(
            "label",
            (Picture(str(paths[suspect.photo]), classes[suspect.label]),),
            {
                "label": classes[suspect.label],
                "better": classes[suspect.suggestion],
                "probability": f"{suspect.probability:.2f}",
                "against": f"{suspect.label_probability:.2f}",
            },
        )
        for suspect in suspects(probabilities, labels)
    ]


def small_classes(photos: Sequence[Listed], classes: Sequence[str]) -> dict[str, int]:
    """Classes with very few training photos, with their number."""
    numbers = dict.fromkeys(classes, 0)
    for photo in photos:
        if photo.split == "train":
            numbers[photo.label] += 1
    return {name: number for name, number in numbers.items() if number < FEW}
