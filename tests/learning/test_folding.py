"""What is said of photos before they are put into folds."""

from pathlib import Path

import pytest

from budwood.data.splits import Split
from budwood.errors import ConfigError
from budwood.learning.kfold import require_folds


def split(numbers, groups_of_each):
    """So many photos of each class, in so many groups of its own."""
    labels = [label for label, number in enumerate(numbers) for _ in range(number)]
    groups = [100 * label + i % groups_of_each[label] for i, label in enumerate(labels)]
    paths = tuple(Path(f"{i}.jpg") for i in range(len(labels)))
    classes = tuple(f"k{n}" for n in range(len(numbers)))
    return Split("photos", paths, tuple(labels), classes, tuple(groups))


@pytest.mark.parametrize(("number", "said"), [(1, "there is 1 photo"), (3, "there are 3 photos")])
def test_more_folds_than_photos_are_refused(number, said):
    with pytest.raises(ConfigError, match=f"4 folds are too many: {said} of class 'k1'"):
        require_folds(split([5, number], [5, number]), 4)


def test_each_of_a_few_classes_of_few_groups_is_named():
    first, second = require_folds(split([5, 5, 5], [5, 1, 2]), 4)
    assert first.startswith("Class 'k1' has photos of 1 group only, and groups are not torn: while")
    assert second.endswith("2 of 4 folds hold out none of them.")


def test_many_are_one_line():
    (said,) = require_folds(split([5] * 9, [5, *[1] * 8]), 4)
    assert said == (
        "8 classes have photos of fewer groups than there are folds (4), and groups are not torn: "
        "some folds hold out none of them. They are 'k1', 'k2', 'k3' and 5 more."
    )
