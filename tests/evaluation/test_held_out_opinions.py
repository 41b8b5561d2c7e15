"""Opinions of those who have not seen a photo: what its label is judged by."""

import numpy as np
import pytest

from budwood.evaluation.label_errors import held_out_opinions, suspects


def blobs(n=240, k=4, d=24, wrong=12, seed=0):
    """Classes that overlap a little, and some labels that are wrong."""
    random = np.random.default_rng(seed)
    truth = np.arange(n) % k
    x = 2.2 * np.eye(k, d)[truth] + random.normal(size=(n, d)) * 0.6
    labels = truth.copy()
    flipped = random.choice(n, wrong, replace=False)
    labels[flipped] = (truth[flipped] + 1) % k
    return x.astype(np.float32), labels, truth, set(flipped.tolist())


def test_wrong_labels_are_doubted_and_rows_are_probabilities():
    x, labels, truth, flipped = blobs()
    seen = held_out_opinions(x, labels, None, 4)
    assert seen.shape == (240, 4)
    np.testing.assert_allclose(seen.sum(1), 1, rtol=1e-5)
    assert seen.min() > 0
    named = {suspect.image for suspect in suspects(seen, labels)}
    assert len(named & flipped) >= 10
    assert len(named & flipped) >= 0.7 * len(named)
    assert (seen.argmax(1) == truth).mean() > 0.9


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it():
    x, labels, truth, _ = blobs(wrong=0)
    copies = 6
    x = np.vstack([x, np.repeat(x[:1], copies, 0)])
    wrong = (truth[0] + 1) % 4
    labels = np.append(labels, [wrong] * copies)
    labels[0] = wrong
    groups = np.array([*range(240), *[0] * copies])
    seen = held_out_opinions(x, labels, groups, 4)
    assert seen[0].argmax() == truth[0]
    assert seen[0, wrong] < 0.2


def test_the_same_seed_gives_the_same_opinions():
    x, labels, _, _ = blobs(n=80)
    one, other = (held_out_opinions(x, labels, None, 4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("labels", "groups"),
    [([0, 1], [0, 0]), ([0, 1], [0, 1]), ([0, 0, 0], [0, 1, 2]), ([0, 0, 1, 1], [0, 0, 1, 1])],
)
def test_where_nothing_can_be_held_out_there_is_no_opinion(labels, groups):
    x = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
    assert held_out_opinions(x, np.array(labels), np.array(groups), 2) is None


def test_a_class_without_photos_is_no_obstacle():
    x, labels, _, _ = blobs(n=60, k=3)
    seen = held_out_opinions(x, np.where(labels == 2, 3, labels), None, 4)
    assert seen.shape == (60, 4)
    assert seen[:, 2].max() < 0.2
