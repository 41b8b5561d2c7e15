from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.data.splitting import set_aside
from budwood.errors import ConfigError

labels = st.lists(st.integers(0, 4), min_size=1, max_size=120)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


@given(labels, fractions, seeds)
def test_every_class_gives_its_share_to_within_one_photo(labels, fraction, seed):
    aside = set_aside(labels, fraction, seed=seed)
    assert aside.shape == (len(labels),)
    given_up = Counter(np.array(labels)[aside].tolist())
    for label, number in Counter(labels).items():
        assert abs(given_up[label] - number * fraction) <= 1


@given(labels, fractions, seeds)
def test_a_class_of_two_or_more_lies_on_both_sides(labels, fraction, seed):
    aside = set_aside(labels, fraction, seed=seed)
    for label, number in Counter(labels).items():
        given_up = int(aside[np.array(labels) == label].sum())
        assert (1 <= given_up < number) if number > 1 else given_up == 0


@given(labels, fractions, seeds)
def test_the_same_seed_sets_the_same_aside(labels, fraction, seed):
    one, other = (set_aside(labels, fraction, seed=seed) for _ in range(2))
    assert np.array_equal(one, other)


def test_another_seed_sets_others_aside():
    aside = {tuple(set_aside([0] * 50, 0.5, seed=seed)) for seed in range(20)}
    assert len(aside) == 20


def test_every_photo_is_set_aside_about_equally_often():
    often = sum(set_aside([0] * 10, 0.3, seed=seed).astype(int) for seed in range(500))
    assert often.min() > 110
    assert often.max() < 190


def test_photos_of_a_group_are_set_aside_about_as_often_as_others():
    groups = [str(i // 4) if i < 40 else f"alone {i}" for i in range(200)]
    often = sum(set_aside([0] * 200, 0.2, seed=seed, groups=groups).astype(int)
                for seed in range(300))  # fmt: skip
    assert 0.8 < often[:40].mean() / often[40:].mean() < 1.25


def test_what_is_set_aside_never_changes_between_releases_and_platforms():
    aside = set_aside(["cat"] * 8 + ["dog"] * 4, 0.25, seed=7)
    assert np.flatnonzero(aside).tolist() == [3, 6, 11]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=1), fractions, seeds)
def test_groups_are_never_torn(images, fraction, seed):
    labels, groups = [label for label, _ in images], [str(group) for _, group in images]
    aside = set_aside(labels, fraction, seed=seed, groups=groups)
    sides = {group: set(aside[np.array(groups) == group].tolist()) for group in groups}
    assert all(len(side) == 1 for side in sides.values())
    assert set(labels) == set(np.array(labels)[~aside].tolist())


def test_groups_of_one_class_give_its_share_to_within_the_largest_group():
    groups = [f"{label}{number // 5}" for label in "ab" for number in range(100)]
    aside = set_aside([0] * 100 + [1] * 100, 0.2, groups=groups)
    assert (aside[:100].sum(), aside[100:].sum()) == (20, 20)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 20, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        set_aside([0, 0], fraction)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="must be 0 or more"):
        set_aside([0, 0], 0.5, seed=-1)
