from pathlib import Path

import numpy as np
import pytest

from budwood.data.splits import Split
from budwood.errors import ConfigError

A, B, C = Path("a.jpg"), Path("b.jpg"), Path("c.jpg")
SPLIT = Split("train", (A, B, C), (1, 0, 1), ("cat", "dog", "owl"))


def test_counts_name_every_class():
    assert SPLIT.counts() == {"cat": 1, "dog": 2, "owl": 0}
    assert sum(SPLIT.counts().values()) == len(SPLIT)


def test_targets_are_the_labels():
    assert SPLIT.targets.dtype == np.int64
    assert SPLIT.targets.tolist() == [1, 0, 1]


def test_without_leaves_out_photos_and_their_labels_only():
    rest = SPLIT.without([A, Path("unknown.jpg")])
    assert rest == Split("train", (B, C), (0, 1), SPLIT.classes)


def test_a_split_can_be_empty():
    assert SPLIT.without([A, B, C]).counts() == {"cat": 0, "dog": 0, "owl": 0}


def test_paths_and_labels_must_be_as_many():
    with pytest.raises(ConfigError, match=r"2 paths and 1 labels.*Give each photo one label"):
        Split("train", (A, B), (0,), ("cat",))


@pytest.mark.parametrize("labels", [(0, 1), (-1, 0)])
def test_labels_must_index_the_classes(labels):
    with pytest.raises(ConfigError, match="They index 1 classes, from 0 on"):
        Split("train", (A, B), labels, ("cat",))
