"""Suspects: labels that are probably wrong, and photos unlike all others."""

import numpy as np
import pytest

from budwood.errors import DataError
from budwood.judging.suspects import neighbours, outliers, suspects


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
    named = {s.photo for s in found}
    assert len(named & wrong) >= 40
    assert len(named & wrong) >= 0.6 * len(named)
    right = [s.suggestion == truth[s.photo] for s in found if s.photo in wrong]
    assert np.mean(right) > 0.9
    assert all(s.label == labels[s.photo] != s.suggestion for s in found)


def test_the_worst_come_first():
    p, labels, _, _ = predicted(500, 3, 30)
    own = [s.label_probability for s in suspects(p, labels)]
    assert own == sorted(own)


def test_a_class_without_photos_takes_no_part():
    p, labels, _, _ = predicted(200, 3, 10)
    wide = np.hstack([p[:, :1], np.full((200, 1), 1e-9), p[:, 1:]])
    wide_labels = np.where(labels > 0, labels + 1, 0)
    one, other = suspects(p, labels), suspects(wide, wide_labels)
    assert [s.photo for s in one] == [s.photo for s in other]
    assert 1 not in {s.suggestion for s in other}


def test_one_class_cannot_be_judged():
    with pytest.raises(DataError, match="two are needed"):
        suspects(np.ones((3, 2)) / 2, np.zeros(3, int))


def test_outliers_are_far_from_all_and_told_first():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 32)) @ np.diag(np.linspace(2, 0.1, 32)) + 3
    x[[5, 70]] = 30 * random.normal(size=(2, 32))
    found = outliers(x)
    assert {photo for photo, _ in found[:2]} == {5, 70}
    assert len(found) < 15
    distances = [distance for _, distance in found]
    assert distances == sorted(distances, reverse=True)


def test_alike_photos_have_no_outliers():
    assert outliers(np.ones((20, 4))) == []
    assert outliers(np.ones((1, 4))) == []


def test_neighbours_point_the_same_way():
    random = np.random.default_rng(1)
    x = random.normal(size=(40, 64))
    x[31] = x[4] + 0.05 * random.normal(size=64)
    assert neighbours(x, 0.9) == [(4, 31)]
