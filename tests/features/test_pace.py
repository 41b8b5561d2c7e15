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
        pace.sent(size)
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
        pace.sent(size)
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
    sizes = pass_over(4_000, seconds)
    assert sum(size for size in sizes if size != 1) < 4_000 / 6


def test_the_time_of_waiting_for_photos_does_not_count():
    """Results that were on their way meanwhile come at once, and say nothing either."""
    pace, now, under_way = Pace(4, 16, 20_000), 0.0, []
    seconds = dict.fromkeys(SIZES, 2.0) | {2: 1.0}
    for batch in range(4000):
        waited = batch % 50 == 49
        size = pace.size
        pace.sent(size, waited=waited)
        under_way.append(size)
        if waited:
            now += 500.0
            for size in under_way[:-1]:
                pace.took(size, now)
            del under_way[:-1]
        elif len(under_way) == 4:
            size = under_way.pop(0)
            now += size * seconds[size]
            pace.took(size, now)
    assert pace.size == 2


def test_a_size_too_large_to_be_timed_between_pauses_is_passed_over():
    pace, now, photos = Pace(4, 16, 20_000), 0.0, 0
    for _ in range(4000):
        size = pace.size
        photos += size
        waited = photos > 14
        photos = 0 if waited else photos
        pace.sent(size, waited=waited)
        now += size
        pace.took(size, now)
    assert pace.size in (1, 2, 4)
