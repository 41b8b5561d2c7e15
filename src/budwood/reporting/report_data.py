"""What a report shows of a run, and which photos: those of each cell, and those worth a look."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.evaluation.calibration import Reliability
from budwood.evaluation.label_errors import suspects
from budwood.reporting.records import ListedImage, RunRecord


@dataclass(frozen=True)
class Picture:
    """A photo as a report shows it."""

    path: str
    """As short as it can be said: inside the folder of the photos, if it lies there."""
    label: str
    predicted: str | None = None
    probability: float | None = None
    """Of the predicted class."""
    thumbnail: str | None = None
    """A `data:` address; None if the photo is no longer there."""
    map: str | None = None
    """Likewise, with where the network looked laid over it."""


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix."""

    label: str
    predicted: str
    images: int
    shown: tuple[Picture, ...]
    """Some of them, or none where they are not there."""

    @property
    def is_right(self) -> bool:
        """True on the diagonal."""
        return self.label == self.predicted


@dataclass(frozen=True)
class DataIssue:
    """Photos that are worth a look, and why."""

    kind: str
    """`leak`, `conflict`, `copy` or `label`; the report has words for each."""
    images: tuple[Picture, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    """What the words have gaps for."""


@dataclass(frozen=True)
class ReportData:
    """A run, as a report shows it."""

    record: RunRecord
    preprocessing: str
    """What is done to a photo before the network sees it."""
    drawing: str | None = None
    """The network, as an SVG element."""
    layers: tuple[str, ...] = ()
    """What trains, by name."""
    cells: tuple[tuple[Cell, ...], ...] = ()
    """The confusion matrix."""
    confusions: tuple[Cell, ...] = ()
    """Its most frequent mistakes, where the matrix is too large to be shown."""
    wrong: tuple[Picture, ...] = ()
    unsure: tuple[Picture, ...] = ()
    layer: str | None = None
    """The layer whose maps are shown."""
    reliability: Reliability | None = None
    growth: Mapping[str, Any] | None = None
    """What more photos would bring: the object `learning_curve` of `train --json`."""
    is_growth_of_stand_in: bool = False
    """True where a linear head stands for a graft that would take too long to train again."""
    found: tuple[DataIssue, ...] = ()
    missing: tuple[str, ...] = ()
    """Photos of the run that are no longer where they were."""
    gaps: Mapping[str, str] = field(default_factory=dict)
    """By the section: the name of the sentence that says why something is not in it."""


CLASSES = 12
"""Up to so many classes the whole matrix is shown; beyond, its most frequent mistakes."""
LISTED = 30
"""Of these."""
IMAGES = 280
"""Photos shown in all cells together."""
WRONG, RIGHT = 12, 6
"""Photos shown in a cell at most."""


@dataclass(frozen=True)
class PredictedImages:
    """Test photos, each with its class and what it is taken for."""

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    """`n k`, calibrated."""
    groups: NDArray[np.int64] | None = None
    """`n`; None where each photo stands for itself."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each."""
        best: NDArray[np.int64] = self.probabilities.argmax(1)
        return best

    def of_cell(self, label: int, predicted: int) -> NDArray[np.int64]:
        """Positions of the photos of a cell, the surest first."""
        inside = np.flatnonzero((self.labels == label) & (self.predicted == predicted))
        return inside[np.argsort(-self.probabilities[inside, predicted], kind="stable")]


Place = tuple[int, int]
"""A cell of the matrix: the class, and what is predicted."""


def shown_places(confusion: Sequence[Sequence[int]]) -> list[Place]:
    """The cells that are shown: all of a small matrix, of a larger one the most frequent mistakes.

    Example:
        >>> shown_places([[3, 1], [0, 2]])
        [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    k = len(confusion)
    places = [(i, j) for i in range(k) for j in range(k)]
    if k <= CLASSES:
        return places
    mistakes = [(i, j) for i, j in places if i != j and confusion[i][j]]
    return sorted(mistakes, key=lambda place: -confusion[place[0]][place[1]])[:LISTED]


def images_of_cells(places: Iterable[Place], seen: PredictedImages) -> dict[Place, list[int]]:
    """Which photos each cell shows, by position; not too many in all."""
    members = {place: seen.of_cell(*place) for place in places}
    full = sum(len(images) > 0 for images in members.values())
    most = max(1, IMAGES // max(1, full))
    return {
        (i, j): images[: min(most, RIGHT if i == j else WRONG)].tolist()
        for (i, j), images in members.items()
    }


def equal_images(images: Sequence[ListedImage], digests: Sequence[bytes]) -> list[DataIssue]:
    """Photos whose files are equal: of two classes, of two splits, or merely twice there."""
    by_digest: dict[bytes, list[ListedImage]] = defaultdict(list)
    for image, digest in zip(images, digests, strict=True):
        by_digest[digest].append(image)
    found: list[DataIssue] = []
    for same in by_digest.values():
        labels = sorted({image.label for image in same})
        splits = sorted({image.split for image in same})
        if len(same) > 1:
            kind = "conflict" if len(labels) > 1 else "leak" if len(splits) > 1 else "copy"
            pictures = tuple(Picture(str(image.path), image.label) for image in same)
            values = {
                "labels": " / ".join(labels),
                "splits": " / ".join(splits),
                "times": str(len(same)),
            }
            found.append(DataIssue(kind, pictures, values))
    return sorted(found, key=lambda found: ("conflict", "leak", "copy").index(found.kind))


def probably_wrong(
    paths: Sequence[Path],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    probabilities: NDArray[np.floating],
) -> list[DataIssue]:
    """Photos whose label is probably wrong, the worst first, by `n k` held-out probabilities."""
    return [
        DataIssue(
            "label",
            (Picture(str(paths[suspect.image]), classes[suspect.label]),),
            {
                "label": classes[suspect.label],
                "better": classes[suspect.suggestion],
                "probability": f"{suspect.probability:.2f}",
                "against": f"{suspect.label_probability:.2f}",
            },
        )
        for suspect in suspects(probabilities, labels)
    ]
