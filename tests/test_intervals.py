"""Intervals hold the truth as often as they say, with groups, with few, with all right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from budwood.errors import ConfigError, DataError
from budwood.intervals import (
    accuracy_interval,
    difference_interval,
    effective_size,
    mean_interval,
    paired_interval,
    sign_flip_p,
    standard_error,
    wilson_interval,
)


def bursts(random, number, size, accuracy, agreement):
    """Whether images are right, in groups that tend to be right or wrong as a whole."""
    if agreement in (0.0, 1.0):
        own = np.full(number, accuracy) if agreement == 0 else random.random(number) < accuracy
    else:
        strength = (1 - agreement) / agreement
        own = random.beta(accuracy * strength, (1 - accuracy) * strength, number)
    right = random.random((number, size)) < np.reshape(own, (-1, 1))
    return right.ravel(), np.repeat(np.arange(number), size)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.97])
@pytest.mark.parametrize(("number", "size"), [(20, 5), (60, 5), (15, 20), (100, 2)])
def test_an_interval_of_groups_holds_the_accuracy_on_new_groups(agreement, accuracy, number, size):
    random, held = np.random.default_rng(1), []
    for _ in range(400):
        right, groups = bursts(random, number, size, accuracy, agreement)
        low, high = accuracy_interval(right, groups)
        held.append(low - 1e-12 <= accuracy <= high + 1e-12)
    assert np.mean(held) >= 0.9


def test_taken_for_single_images_it_would_not():
    """The trial of why groups are needed: 300 frames of 60 bursts."""
    random, alone, together = np.random.default_rng(2), [], []
    for _ in range(400):
        right, groups = bursts(random, 60, 5, 0.9, 1.0)
        for held, of in ((alone, None), (together, groups)):
            low, high = accuracy_interval(right, of)
            held.append(low <= 0.9 <= high)
    assert np.mean(alone) < 0.75
    assert np.mean(together) > 0.92


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_single_images_have_wilson_s_interval(right):
    values = np.array(right)
    expected = wilson_interval(values.sum(), len(values))
    assert accuracy_interval(values) == pytest.approx(expected)
    assert accuracy_interval(values, np.arange(len(values))) == pytest.approx(expected)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=80),
)
def test_images_are_worth_at_least_kish_s_number_and_at_most_their_own(images):
    right, groups = (np.array(column) for column in zip(*images, strict=True))
    sizes = np.unique(groups, return_counts=True)[1]
    size = effective_size(right, groups)
    assert len(right) ** 2 / (sizes**2).sum() - 1e-9 <= size <= len(right)


def test_groups_that_are_all_right_count_as_one_image_each():
    groups = np.repeat(np.arange(60), 5)
    assert effective_size(np.ones(300, bool), groups) == pytest.approx(60)
    assert accuracy_interval(np.ones(300, bool), groups) == pytest.approx(wilson_interval(60, 60))


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_an_interval_of_a_difference_holds_it(agreement):
    random, held = np.random.default_rng(3), []
    for _ in range(400):
        first, groups = bursts(random, 60, 5, 0.85, agreement)
        swapped, _ = bursts(random, 60, 5, 0.9, agreement)  # where they answer alike
        other, _ = bursts(random, 60, 5, 0.9, agreement)
        second = np.where(swapped, first, other)
        low, high = difference_interval(first, second, groups)
        held.append(low <= 0.1 * (0.9 - 0.85) <= high)
    assert np.mean(held) >= 0.9


def test_the_interval_of_single_images_is_that_of_agresti_and_min():
    random = np.random.default_rng(0)
    first, second = random.random((2, 300)) < 0.8
    gained, lost = (second & ~first).sum(), (first & ~second).sum()
    assert difference_interval(first, second) == pytest.approx(paired_interval(gained, lost, 300))


@pytest.mark.parametrize("agreement", [0.0, 0.5, 1.0])
def test_an_interval_of_a_mean_holds_it(agreement):
    random, held = np.random.default_rng(4), []
    for _ in range(400):
        right, groups = bursts(random, 60, 5, 0.8, agreement)
        _, low, high = mean_interval(0.9 - right, groups)
        held.append(low <= 0.1 <= high)
    assert np.mean(held) >= 0.9


def test_the_interval_of_equal_values_stays_open():
    middle, low, high = mean_interval(np.full(30, 0.02))
    assert (middle, low < 0.02 < high) == (pytest.approx(0.02), True)


@given(st.integers(0, 40), st.integers(0, 40))
def test_of_single_images_it_is_mcnemar_s_exact_test(gained, lost):
    sums = np.array([1] * gained + [-1] * lost, int)
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert sign_flip_p(sums) == pytest.approx(expected, rel=1e-9)


def test_very_many_images_are_tested_too():
    sums = np.array([1] * 5200 + [-1] * 4800)
    assert sign_flip_p(sums) == pytest.approx(binomtest(5200, 10_000).pvalue, rel=1e-6)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=12))
def test_larger_groups_swing_as_a_whole(sums):
    sizes = np.array(sums, int)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(sums))).reshape(len(sums), -1)
    expected = np.mean(np.abs(np.abs(sizes) @ signs) >= abs(sizes.sum()))
    assert sign_flip_p(sizes) == pytest.approx(expected)


def test_the_standard_error_of_groups_is_that_of_their_sums():
    random = np.random.default_rng(5)
    values = random.normal(size=200)
    assert standard_error(values) == pytest.approx(values.std(ddof=1) / 200**0.5)
    assert standard_error(values, np.arange(200)) == pytest.approx(standard_error(values))
    whole = np.repeat(values[:40], 5)
    expected = values[:40].std(ddof=1) / 40**0.5
    assert standard_error(whole, np.repeat(np.arange(40), 5)) == pytest.approx(expected)


def test_what_is_no_accuracy_is_refused():
    with pytest.raises(DataError, match="at least one photo"):
        accuracy_interval(np.empty(0))
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        accuracy_interval(np.ones(3), confidence=95)
