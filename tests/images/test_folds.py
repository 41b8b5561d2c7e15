"""Folds: stratified, never through a group, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.data.splitting import as_groups, can_be_held_out, make_folds, rare_classes

labels = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(np.array)
grouped = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=80)
seeds = st.integers(0, 2**32)


@given(grouped, st.integers(2, 6), seeds)
def test_folds_never_tear_a_group_and_none_is_empty(images, folds, seed):
    own, groups = (np.array(column) for column in zip(*images, strict=True))
    fold = make_folds(own, folds, groups=groups, seed=seed)
    assert all(len(np.unique(fold[groups == group])) == 1 for group in np.unique(groups))
    assert np.unique(fold).tolist() == list(range(min(folds, len(np.unique(groups)))))


@given(labels, st.integers(2, 7), seeds)
def test_every_class_and_every_image_is_spread_evenly_over_the_folds(own, folds, seed):
    fold = make_folds(own, folds, seed=seed)
    number = min(folds, len(own))
    counts = np.bincount(fold, minlength=number)
    assert len(counts) == number
    assert counts.max() - counts.min() <= 1
    for label in np.unique(own):
        of_class = np.bincount(fold[own == label], minlength=number)
        assert of_class.max() - of_class.min() <= 1


@given(st.integers(2, 5), st.integers(4, 12), st.integers(2, 6), seeds)
def test_groups_of_one_size_and_class_are_spread_as_evenly_as_images(k, each, size, seed):
    own = np.repeat(np.arange(k), each * size)
    groups = np.repeat(np.arange(k * each), size)
    fold = make_folds(own, 4, groups=groups, seed=seed)
    for label in range(k):
        of_class = np.bincount(fold[own == label], minlength=4) // size
        assert of_class.max() - of_class.min() <= 1


@given(grouped, seeds)
def test_groups_of_one_image_each_are_no_groups(images, seed):
    own = np.array([label for label, _ in images])
    alone = make_folds(own, 5, groups=np.arange(len(own))[::-1] * 3, seed=seed)
    for label in np.unique(own):
        of_class = np.bincount(alone[own == label], minlength=min(5, len(own)))
        assert of_class.max() - of_class.min() <= 1


def test_the_same_seed_gives_the_same_folds_and_another_others():
    own, groups = np.array([0, 1] * 20), np.arange(40) // 2
    folds = [make_folds(own, 4, groups=groups, seed=seed).tolist() for seed in (1, 1, 2)]
    assert folds[0] == folds[1] != folds[2]


def test_folds_never_change_between_releases_and_platforms():
    own = np.array([0] * 6 + [1] * 4)
    assert make_folds(own, 3, seed=7).tolist() == [1, 2, 1, 0, 0, 2, 0, 2, 1, 0]
    groups = np.array([0, 0, 1, 2, 2, 3, 4, 5, 6, 6])
    assert make_folds(own, 3, groups=groups, seed=7).tolist() == [1, 1, 0, 2, 2, 0, 1, 2, 0, 0]


def test_a_large_group_does_not_leave_its_fold_the_only_one_of_a_class():
    own = np.array([0] * 50 + [0] * 50 + [1] * 100)
    groups = np.concatenate([np.zeros(50), np.arange(1, 151)]).astype(int)
    fold = make_folds(own, 5, groups=groups)
    counts = np.bincount(fold[own == 0], minlength=5)
    assert counts.max() == 50
    assert counts.min() >= 12


@given(grouped)
def test_classes_of_fewer_groups_than_folds_are_named(images):
    own, groups = (np.array(column) for column in zip(*images, strict=True))
    rare = rare_classes(own, 4, groups)
    for label in np.unique(own).tolist():
        number = len(np.unique(groups[own == label]))
        assert rare.get(label) == (number if number < 4 else None)


@pytest.mark.parametrize(
    ("own", "fold", "expected"),
    [([0, 0, 1, 1], [0, 0, 0, 0], False), ([0, 1], [0, 1], False), ([0, 1, 2], [0, 1, 2], True)],
)
def test_two_classes_must_be_left_whichever_fold_is_held_out(own, fold, expected):
    assert can_be_held_out(np.array(own), np.array(fold)) is expected


def test_names_of_groups_become_numbers():
    assert as_groups(["b", "a", "b", 3]).tolist() == [0, 1, 0, 2]
