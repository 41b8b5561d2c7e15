"""Which photos the cells of a confusion matrix show."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from budwood.reporting.report_data import (
    CLASSES,
    IMAGES,
    LISTED,
    PredictedImages,
    images_of_cells,
    shown_places,
)


def seen_of(labels, predicted, k):
    shares = np.full((len(labels), k), 0.1)
    shares[np.arange(len(labels)), predicted] = np.linspace(0.5, 0.9, len(labels))
    paths = tuple(Path(f"{i}.jpg") for i in range(len(labels)))
    return PredictedImages(paths, np.array(labels), shares)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_every_photo_is_shown_in_its_own_cell(pairs):
    seen = seen_of([a for a, _ in pairs], [b for _, b in pairs], 4)
    confusion = [[pairs.count((i, j)) for j in range(4)] for i in range(4)]
    shown = images_of_cells(shown_places(confusion), seen)
    for (i, j), images in shown.items():
        assert all(pairs[p] == (i, j) for p in images)
        assert len(images) <= confusion[i][j]
        assert bool(images) == bool(confusion[i][j])
        sure = [seen.probabilities[p, j] for p in images]
        assert sure == sorted(sure, reverse=True)


def test_pages_stay_small():
    k = CLASSES
    pairs = [(i, j) for i in range(k) for j in range(k)] * 20
    seen = seen_of([a for a, _ in pairs], [b for _, b in pairs], k)
    shown = images_of_cells(shown_places([[20] * k] * k), seen)
    assert sum(map(len, shown.values())) <= IMAGES


def test_of_many_classes_the_most_frequent_mistakes_are_shown():
    k = CLASSES + 10
    confusion = [[100 if i == j else (i * k + j) % 7 for j in range(k)] for i in range(k)]
    places = shown_places(confusion)
    assert len(places) == LISTED
    assert all(i != j for i, j in places)
    assert {confusion[i][j] for i, j in places} == {6}
    assert shown_places([]) == []
