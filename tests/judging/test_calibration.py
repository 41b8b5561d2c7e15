"""Calibration: probabilities are made to mean what they say, and how far they do is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from budwood.errors import DataError
from budwood.judging.calibration import fit_temperature, reliability, softmax


def drawn(n, k, sharpness, seed):
    """Logits, and labels that these make exactly as likely as they say."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n, k)) * sharpness
    labels = (softmax(logits).cumsum(1) < random.random((n, 1))).sum(1)
    return logits, np.minimum(labels, k - 1)


@given(st.sampled_from([0.25, 1.0, 3.0]), st.integers(0, 5))
def test_the_temperature_that_was_applied_is_found_again(temperature, seed):
    logits, labels = drawn(20_000, 4, 2.0, seed)
    assert fit_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.08)


@given(st.integers(0, 1000), st.floats(0.1, 30))
def test_no_temperature_of_a_fine_grid_is_better(seed, sharpness):
    logits, labels = drawn(60, 3, 2.0, seed)
    logits *= sharpness

    def loss(temperature):
        own = (logits / temperature)[np.arange(60), labels]
        return float((logsumexp(logits / temperature, axis=1) - own).mean())

    best = min(loss(temperature) for temperature in np.geomspace(0.02, 50, 300))
    assert loss(fit_temperature(logits, labels)) <= best + 1e-9


def test_a_temperature_changes_no_prediction_and_lowers_the_loss():
    logits, labels = drawn(500, 5, 2.0, 1)
    sure = logits * 4
    cooled = sure / fit_temperature(sure, labels)
    assert (cooled.argmax(1) == sure.argmax(1)).all()
    loss = [-np.log(softmax(x)[np.arange(500), labels]).mean() for x in (cooled, sure)]
    assert loss[0] < loss[1]


def test_a_classifier_that_is_always_right_gets_a_finite_temperature():
    assert 0 < fit_temperature(np.eye(4) * 3, np.arange(4)) < 1


def test_reliability_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.45, 0.55]])
    found = reliability(p, np.array([0, 1, 1, 1]))
    assert [(b.low, b.photos, b.accuracy) for b in found.bins] == [
        (0.5, 1, 1.0),
        (0.6, 1, 1.0),
        (0.9, 2, 0.5),
    ]
    assert found.error == pytest.approx((0.45 + 0.35 + 2 * 0.45) / 4)
    assert [b.confidence for b in found.bins] == pytest.approx([0.55, 0.65, 0.95])


def test_a_perfect_classifier_has_no_error_beyond_chance():
    errors, debiased = [], []
    for seed in range(20):
        logits, labels = drawn(550, 5, 2.0, seed)
        found = reliability(softmax(logits), labels)
        errors.append(found.error)
        debiased.append(found.debiased)
    assert np.mean(errors) > 0.02  # so few photos alone show that much
    assert np.mean(debiased) < 0.012


def test_overconfidence_is_seen_and_mended():
    logits, labels = drawn(2000, 5, 2.0, 3)
    sure = logits * 3
    before = reliability(softmax(sure), labels)
    after = reliability(softmax(sure, fit_temperature(sure, labels)), labels)
    assert before.debiased > 0.1
    assert after.debiased < 0.02


def test_confidence_one_falls_into_the_last_bin():
    (last,) = reliability(np.array([[1.0, 0.0]]), np.array([0])).bins
    assert (last.low, last.high) == (0.9, 1.0)


def test_without_photos_there_is_nothing_to_say():
    with pytest.raises(DataError, match="cannot be calibrated without photos"):
        fit_temperature(np.empty((0, 2)), np.empty(0, int))
    with pytest.raises(DataError, match="no photos to tell reliability from"):
        reliability(np.empty((0, 2)), np.empty(0, int))
