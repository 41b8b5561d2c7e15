"""What a comparison claims, counted in simulated comparisons whose truth is known."""

import numpy as np
import pytest

from budwood.evaluation.comparison import ComparedNetwork, ComparedStage, Comparison
from budwood.evaluation.pairing import optimism, pairwise_differences
from budwood.intervals import accuracy_interval, difference_interval

pytestmark = pytest.mark.slow


def comparison(right, groups=None):
    """Stages that are right where the rows say so, the quickest first."""
    stages = tuple(
        ComparedStage(
            name=f"s{i}",
            width=8,
            macs=1,
            memory=1,
            seconds=float(i + 1),
            top1=float(row.mean()),
            interval=accuracy_interval(row, groups),
            balanced_accuracy=0.0,
            l2_strength=1.0,
            logme=0.0,
            h_score=0.0,
            fit_seconds=0.0,
            right=row,
        )
        for i, row in enumerate(right)
    )
    n = right.shape[1]
    network = ComparedNetwork("small", "none", None, 0, n, stages)
    return Comparison(n, ("a", "b"), 5, 0.5, (network,), groups=groups)


def uniform(random, k, groups, together=0.7):
    """Numbers `k n`, of which this share is the same in a whole group."""
    n = len(groups)
    of_groups = random.random((k, groups.max() + 1))[:, groups]
    return np.where(random.random((k, n)) < together, of_groups, random.random((k, n)))


def quick_and_best(random, groups, loss):
    """A quick stage that truly is so much worse than the best; 3 % only it gets right."""
    u = uniform(random, 1, groups)[0]
    only_best, only_quick = u < loss + 0.03, (u >= loss + 0.03) & (u < loss + 0.06)
    return np.stack([~only_best, ~only_quick]) & (u < 0.95)


def through_hardness(random, groups, quantiles):
    """Stages whose errors are correlated, because some images are harder for all."""
    k = len(quantiles)
    values = uniform(random, k, groups) / 2 + uniform(random, 1, groups) / 2
    return values < np.asarray(quantiles)[:, None]


def at(accuracy):
    """The quantile of the mean of two uniform numbers, for accuracies from a half on."""
    return 1 - np.sqrt((1 - np.asarray(accuracy)) / 2)


@pytest.mark.parametrize("groups", [None, np.arange(60) // 3, np.array([7, 7, 7] + [1] * 57)])
def test_the_intervals_of_all_pairs_are_those_of_each(groups):
    right = np.random.default_rng(0).random((6, 60)) < 0.8
    right[3], right[4] = right[2], True
    pairs = pairwise_differences(right, groups)
    for i, row in enumerate(right):
        for j, column in enumerate(right):
            expected = difference_interval(column, row, groups)
            assert (pairs.low[i, j], pairs.high[i, j]) == pytest.approx(expected, abs=1e-12)


def test_the_covariance_is_that_of_the_sums_of_groups():
    random = np.random.default_rng(0)
    right, groups = random.random((4, 90)) < 0.7, random.integers(0, 30, 90)
    _, own = np.unique(groups, return_inverse=True)
    residuals = right - right.mean(1, keepdims=True)
    sums = np.stack([np.bincount(own, row) for row in residuals])
    m = sums.shape[1]
    expected = sum(np.outer(sums[:, g], sums[:, g]) for g in range(m)) / 90**2 * m / (m - 1)
    assert pairwise_differences(right, groups).covariance == pytest.approx(expected)


def recommends_quick(random, groups, loss, draws=200):
    is_grouped = len(np.unique(groups)) < len(groups)
    found = [
        comparison(quick_and_best(random, groups, loss), groups if is_grouped else None)
        for _ in range(draws)
    ]
    return np.mean([c.recommended is not None and c.recommended.stage.name == "s0" for c in found])


@pytest.mark.parametrize("n", [60, 100, 200, 500])
def test_a_quicker_stage_that_is_3_points_worse_is_hardly_ever_recommended(n):
    assert recommends_quick(np.random.default_rng(n), np.arange(n), 0.03) <= 0.08


def test_nor_where_images_belong_together():
    assert recommends_quick(np.random.default_rng(0), np.arange(300) // 5, 0.03) <= 0.08


def test_a_stage_that_is_worse_by_the_margin_is_recommended_in_few_cases():
    assert recommends_quick(np.random.default_rng(0), np.arange(2000), 0.01) <= 0.08


def test_of_two_identical_stages_the_quicker_one_is_recommended():
    right = np.random.default_rng(0).random(2000) < 0.9
    assert comparison(np.stack([right, right])).recommended.stage.name == "s0"


@pytest.mark.parametrize(("n", "size", "draws"), [(500, 1, 300), (500, 5, 200), (60, 1, 60)])
def test_of_equal_stages_none_is_called_worse_and_the_optimism_is_told(n, size, draws):
    """The level is 5 %: of 300 draws 15, and up to 22 by chance."""
    random, groups = np.random.default_rng(size), np.arange(n) // size
    worse, told, true = 0, [], []
    for _ in range(draws):
        right = through_hardness(random, groups, [at(0.78)] * 20)
        found = comparison(right, groups if size > 1 else None)
        worse += any(not place.is_tie for place in found.places)
        told.append(found.optimism)
        true.append(found.best.stage.top1 - 0.78)
    assert worse / draws <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / draws)
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.25)


def test_stages_that_are_as_good_as_the_baseline_are_hardly_ever_said_to_beat_it():
    random = np.random.default_rng(0)
    found = [comparison(random.random((20, 100)) < 0.5) for _ in range(100)]
    assert np.mean([one.best.stage.interval[0] > 0.5 for one in found]) > 0.2  # by luck
    assert np.mean([one.beats_baseline for one in found]) <= 0.05


def test_a_stage_that_is_10_points_worse_is_called_worse():
    random = np.random.default_rng(0)
    accuracies = at([0.68] + [0.78] * 19)
    found = [comparison(through_hardness(random, np.arange(500), accuracies)) for _ in range(50)]
    worse = [not place.is_tie for one in found for place in one.places if place.stage.name == "s0"]
    assert np.mean(worse) > 0.8


@pytest.mark.parametrize(
    ("accuracies", "most"),
    [
        ([0.92] + [0.78] * 19, 0.001),  # a clear winner
        ([*np.linspace(0.5, 0.85, 14), *[0.9] * 6], None),  # late stages are all as good
        (np.linspace(0.7, 0.86, 20), None),  # some are nearly as good
    ],
)
def test_the_optimism_is_that_of_the_winner(accuracies, most):
    random, true, told = np.random.default_rng(0), [], []
    for _ in range(80):
        found = comparison(through_hardness(random, np.arange(500), at(accuracies)))
        best = int(found.best.stage.name[1:])
        true.append(found.best.stage.top1 - accuracies[best])
        told.append(found.optimism)
    if most is not None:
        assert np.mean(told) < most
    else:
        assert np.mean(told) == pytest.approx(np.mean(true), rel=0.25)


def test_near_certainty_there_is_little_room_for_luck():
    right = np.random.default_rng(0).random((20, 60)) < 0.98
    assert optimism(pairwise_differences(right), np.full(20, True)) < 0.02
