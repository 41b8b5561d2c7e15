"""Two classifiers on the same photos: McNemar's test and the interval of the difference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from budwood.errors import DataError
from budwood.judging.pairing import Paired, paired

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


def test_the_p_value_is_that_of_the_exact_test():
    assert Paired(100, 80, 3, 12).p_value == pytest.approx(2 * binom.cdf(3, 15, 0.5))
    assert Paired(100, 100, 0, 0).p_value == 1.0


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((4, 20), "The second is better: 20 photos that only it gets right against 4"),
        ((20, 4), "The first is better: 20 photos that only it gets right against 4"),
        ((10, 12), "These photos do not tell the two apart: 12 photos that only it"),
    ],
)
def test_it_is_said_in_one_sentence(counts, said):
    assert str(Paired(550, 500, *counts)).startswith(said)


def test_both_must_have_answered_the_same_photos():
    with pytest.raises(DataError, match="One classifier answered 2 photos, the other 3"):
        paired(np.ones(2, bool), np.ones(3, bool))
