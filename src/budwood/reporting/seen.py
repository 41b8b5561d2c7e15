"""Test photos as a classifier sees them: the confusion matrix with its photos, and the worst."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.reporting.facts import Cell

CLASSES = 12
"""Up to so many classes the whole matrix is shown; beyond, its most frequent mistakes."""
LISTED = 30
"""Of these."""
PHOTOS = 280
"""Photos shown in all cells together."""
WRONG, RIGHT = 12, 6
"""Photos shown in a cell at most."""


@dataclass(frozen=True)
class Seen:
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


def photos_of_cells(places: Iterable[Place], seen: Seen) -> dict[Place, list[int]]:
    """Which photos each cell shows, by position; not too many in all."""
    members = {place: seen.of_cell(*place) for place in places}
    full = sum(len(photos) > 0 for photos in members.values())
    most = max(1, PHOTOS // max(1, full))
    return {
        (i, j): photos[: min(most, RIGHT if i == j else WRONG)].tolist()
        for (i, j), photos in members.items()
    }


def in_rows(cells: Sequence[Cell], classes: int) -> tuple[tuple[Cell, ...], ...]:
    """Cells in the order of a matrix, row by row."""
    return tuple(tuple(cells[i * classes : (i + 1) * classes]) for i in range(classes))
