"""Two classifiers on the same images: the exact test and the interval of the difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from budwood.errors import DataError
from budwood.evaluation.pairing import paired
from budwood.intervals import difference_interval

right = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@given(right)
def test_the_counts_add_up(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    found = paired(first, second)
    assert found.both + found.first_only == first.sum()
    assert found.both + found.second_only == second.sum()
    assert found.difference == pytest.approx(second.mean() - first.mean())
    low, high = found.interval
    assert low <= high


@given(right)
def test_to_swap_the_two_turns_the_result_round(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    one, other = paired(first, second), paired(second, first)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.interval == pytest.approx([-end for end in reversed(other.interval)])


def answers(both, first_only, second_only, images):
    counts = [both, first_only, second_only, images - both - first_only - second_only]
    return np.repeat([1, 1, 0, 0], counts) > 0, np.repeat([1, 0, 1, 0], counts) > 0


def test_the_p_value_is_that_of_the_exact_test():
    found = paired(*answers(80, 3, 12, 100))
    assert found.p_value == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert paired(*answers(100, 0, 0, 100)).p_value == 1.0


@given(right, st.integers(2, 5))
def test_images_that_are_repeated_in_their_groups_prove_nothing_more(pairs, copies):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    groups = np.repeat(np.arange(len(first)), copies)
    once, often = paired(first, second), paired(first.repeat(copies), second.repeat(copies), groups)
    assert often.p_value == pytest.approx(once.p_value)
    assert often.interval == pytest.approx(once.interval)
    assert often.groups == len(first)
    assert often.to_json()["groups"] == len(first)


def test_the_interval_is_that_of_the_groups():
    random = np.random.default_rng(0)
    first, second = random.random((2, 300)) < 0.8
    groups = np.arange(300) // 5
    assert paired(first, second, groups).interval == difference_interval(first, second, groups)
    assert paired(first, second, groups).groups == 60
    assert paired(first, second).groups is paired(first, second, np.arange(300)).groups is None


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (
            (4, 20),
            "The second is significantly better: 20 photos that only it gets right against 4",
        ),
        ((20, 4), "The first is significantly better: 20 photos that only it gets right against 4"),
        ((10, 12), "The two are not significantly different: 12 photos that only it"),
    ],
)
def test_it_is_said_in_one_sentence(counts, said):
    assert str(paired(*answers(500, *counts, 550))).startswith(said)


def test_the_test_is_named():
    first, second = answers(10, 1, 4, 20)
    assert "(McNemar p = 0.38)" in str(paired(first, second))
    assert "(10 groups, sign-flip p = " in str(paired(first, second, np.arange(20) // 2))


def test_both_must_have_answered_the_same_photos():
    with pytest.raises(DataError, match="One classifier answered 2 photos, the other 3"):
        paired(np.ones(2, bool), np.ones(3, bool))
