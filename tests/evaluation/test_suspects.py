"""Suspects: labels that are probably wrong, and pairs that may be of one picture."""

import numpy as np
import pytest

from budwood.errors import DataError
from budwood.evaluation.label_errors import neighbours, suspects


def predicted(n, k, flipped, seed=0):
    """Labels of which some are wrong, and probabilities that mostly know better."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % k
    logits = random.normal(size=(n, k))
    logits[np.arange(n), truth] += 4
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = truth.copy()
    wrong = random.choice(n, flipped, replace=False)
    labels[wrong] = (truth[wrong] + 1 + random.integers(0, k - 1, flipped)) % k
    return p, labels, truth, set(wrong.tolist())


def test_most_flipped_labels_are_found_and_most_found_are_flipped():
    p, labels, truth, wrong = predicted(1000, 5, 50)
    found = suspects(p, labels)
    named = {s.image for s in found}
    assert len(named & wrong) >= 40
    assert len(named & wrong) >= 0.6 * len(named)
    right = [s.suggestion == truth[s.image] for s in found if s.image in wrong]
    assert np.mean(right) > 0.9
    assert all(s.label == labels[s.image] != s.suggestion for s in found)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ((60, 4, 10, 3), [20, 34, 7, 36, 53, 37, 43, 44]),
        ((45, 7, 12, 5), [20, 44, 42, 30, 10, 26, 19, 21, 36, 15, 35]),
        ((40, 2, 6, 2), [27, 10, 31, 17, 9, 35]),
    ],
)
def test_they_are_those_that_cleanlab_finds(drawn, expected):
    # Expected: cleanlab 2.9, find_label_issues(filter_by="prune_by_class",
    # min_examples_per_class=0, return_indices_ranked_by="self_confidence").
    p, labels, _, _ = predicted(*drawn)
    assert [s.image for s in suspects(p, labels)] == expected


def test_the_worst_come_first():
    p, labels, _, _ = predicted(500, 3, 30)
    own = [s.label_probability for s in suspects(p, labels)]
    assert own == sorted(own)


def test_a_class_without_photos_takes_no_part():
    p, labels, _, _ = predicted(200, 3, 10)
    wide = np.hstack([p[:, :1], np.full((200, 1), 1e-9), p[:, 1:]])
    wide_labels = np.where(labels > 0, labels + 1, 0)
    one, other = suspects(p, labels), suspects(wide, wide_labels)
    assert [s.image for s in one] == [s.image for s in other]
    assert 1 not in {s.suggestion for s in other}


def test_one_class_cannot_be_judged():
    with pytest.raises(DataError, match="two are needed"):
        suspects(np.ones((3, 2)) / 2, np.zeros(3, int))


def test_neighbours_point_the_same_way():
    random = np.random.default_rng(1)
    x = random.normal(size=(40, 64))
    x[31] = x[4] + 0.05 * random.normal(size=64)
    assert neighbours(x, 0.9) == [(4, 31)]


def test_of_many_neighbours_the_nearest_count():
    x = np.ones((30, 8)) + 0.01 * np.random.default_rng(0).normal(size=(30, 8))
    pairs = neighbours(x, -1, most=2)
    assert 30 <= len(pairs) <= 60
    assert all(first < second for first, second in pairs)
    assert neighbours(x[:1]) == []
