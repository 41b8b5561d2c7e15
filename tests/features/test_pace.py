"""The pace: the fastest size of batch is found while the work goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.features.pace import Pace

SIZES = (1, 2, 4, 8, 16)


def pass_over(photos, seconds, usual=4, largest=16):
    """The sizes of all batches of one pass, if a photo takes so long in a batch of each size."""
    pace, now, sizes, left = Pace(usual, largest, photos), 0.0, [], photos
    while left:
        size = min(left, pace.size)
        now += size * seconds[size] if size in seconds else size
        pace.took(size, now)
        sizes.append(size)
        left -= size
    return sizes


@given(st.permutations([1.0, 1.5, 2.0, 2.5, 3.0]))
def test_the_fastest_size_is_kept(times):
    seconds = dict(zip(SIZES, times, strict=True))
    sizes = pass_over(20_000, seconds)
    assert sizes[-10] == min(seconds, key=seconds.get)


def test_a_single_slow_turn_does_not_decide():
    pace, now, turns = Pace(4, 16, 20_000), 0.0, 0
    seconds = dict.fromkeys(SIZES, 2.0) | {8: 1.0}
    for batch in range(3000):
        size = pace.size
        hiccup = 100.0 if size == 8 and turns == 0 and batch > 8 else 0.0
        turns += bool(hiccup)
        now += size * seconds[size] + hiccup
        pace.took(size, now)
    assert pace.size == 8


@pytest.mark.parametrize("photos", [1, 100, 1000])
def test_few_photos_are_not_worth_a_trial(photos):
    sizes = pass_over(photos, dict.fromkeys(SIZES, 1.0))
    assert set(sizes[:-1]) <= {4}


def test_no_batch_is_larger_than_allowed():
    sizes = pass_over(50_000, dict.fromkeys(SIZES, 1.0) | {16: 0.1}, largest=6)
    assert max(sizes) == 6


def test_the_trial_takes_a_small_part_of_the_pass():
    seconds = {1: 1.0, 2: 2.0, 4: 2.0, 8: 2.0, 16: 2.0}
    sizes = pass_over(2_400, seconds)
    assert sum(size for size in sizes if size != 1) < 2_400 / 6
