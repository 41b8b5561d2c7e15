"""Calibration: probabilities are made to mean what they say, and how far they do is measured."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from budwood.errors import DataError
from budwood.evaluation.calibration import (
    SPREAD,
    Reliability,
    fit_temperature,
    reliability,
    softmax,
)


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


def posterior(logits, labels, temperature):
    """What `fit_temperature` maximises, less a constant, written out."""
    n, k = logits.shape
    doubt = 1 / (n + 2)
    target = np.full((n, k), doubt / (k - 1))
    target[np.arange(n), labels] = 1 - doubt
    scaled = logits / temperature
    log_p = scaled - logsumexp(scaled, axis=1, keepdims=True)
    return (target * log_p).sum() - (np.log(temperature) / SPREAD) ** 2 / 2


@given(st.integers(0, 1000), st.floats(0.1, 30))
def test_no_temperature_of_a_fine_grid_is_more_probable(seed, sharpness):
    logits, labels = drawn(60, 3, 2.0, seed)
    logits *= sharpness
    best = max(
        posterior(logits, labels, temperature) for temperature in np.geomspace(0.02, 200, 400)
    )
    assert posterior(logits, labels, fit_temperature(logits, labels)) >= best - 1e-9


@pytest.mark.parametrize("gap", [0.5, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("n", [10, 30, 300])
def test_images_that_are_all_right_are_believed_by_laplace_s_rule(n, gap):
    logits = np.zeros((n, 3))
    logits[:, 0] = gap * np.linspace(0.5, 1.5, n)
    temperature = fit_temperature(logits, np.zeros(n, int))
    assert softmax(logits, temperature).max(1).mean() <= (n + 1) / (n + 2) + 0.01
    assert 0.01 < temperature < 100


def test_bursts_that_are_all_right_are_believed_as_so_many_images():
    logits = np.tile([8.0, 0.0, 0.0], (300, 1))
    alone, together = (
        fit_temperature(logits, np.zeros(300, int), groups)
        for groups in (None, np.repeat(np.arange(30), 10))
    )
    assert softmax(logits, alone)[0, 0] > 0.99
    assert softmax(logits, together)[0, 0] < 0.975


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_answers_that_say_nothing_give_a_temperature_and_no_bound(scale):
    random = np.random.default_rng(0)
    logits, labels = scale * random.normal(size=(300, 3)), random.integers(0, 3, 300)
    temperature = fit_temperature(logits, labels)
    assert 2 * scale < temperature < 1000 * scale
    again = fit_temperature(10 * logits, labels)
    assert again > 2 * temperature  # no limit was met


def test_a_temperature_changes_no_prediction_and_lowers_the_loss():
    logits, labels = drawn(500, 5, 2.0, 1)
    sure = logits * 4
    cooled = sure / fit_temperature(sure, labels)
    assert (cooled.argmax(1) == sure.argmax(1)).all()
    loss = [-np.log(softmax(x)[np.arange(500), labels]).mean() for x in (cooled, sure)]
    assert loss[0] < loss[1]


def test_reliability_by_hand():
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.45, 0.55]])
    found = reliability(p, np.array([0, 1, 1, 1]))
    assert [(b.low, b.images, b.accuracy) for b in found.bins] == [
        (0.5, 1, 1.0),
        (0.6, 1, 1.0),
        (0.9, 2, 0.5),
    ]
    assert found.error == pytest.approx((0.45 + 0.35 + 2 * 0.45) / 4)
    assert [b.confidence for b in found.bins] == pytest.approx([0.55, 0.65, 0.95])


def test_overconfidence_is_shown_with_its_sign():
    p = np.array([[0.8, 0.2]] * 100)
    over = reliability(p, np.array([0] * 60 + [1] * 40))
    under = reliability(p, np.array([0] * 95 + [1] * 5))
    assert over.gap == pytest.approx(0.2)
    assert under.gap == pytest.approx(-0.15)
    assert str(over).startswith("Confidence is 20.0 points above accuracy (95 % interval ")
    assert str(under).startswith("Confidence is 15.0 points below accuracy (95 % interval ")
    assert over.gap_interval[0] > 0 > under.gap_interval[1]


def test_it_comes_back_as_it_was():
    logits, labels = drawn(200, 4, 2.0, 5)
    found = reliability(softmax(logits), labels, np.arange(200) // 2)
    assert Reliability.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_overconfidence_is_seen_and_mended():
    logits, labels = drawn(2000, 5, 2.0, 3)
    sure = logits * 3
    before = reliability(softmax(sure), labels)
    after = reliability(softmax(sure, fit_temperature(sure, labels)), labels)
    assert before.error > 0.1 > before.band[1]
    assert after.error <= after.band[1]
    assert before.gap_interval[0] > 0.05
    assert after.gap_interval[0] < 0 < after.gap_interval[1]


def test_confidence_one_falls_into_the_last_bin():
    (last,) = reliability(np.array([[1.0, 0.0]]), np.array([0])).bins
    assert (last.low, last.high) == (0.9, 1.0)


def test_without_photos_there_is_nothing_to_say():
    with pytest.raises(DataError, match="cannot be calibrated without photos"):
        fit_temperature(np.empty((0, 2)), np.empty(0, int))
    with pytest.raises(DataError, match="no photos to tell reliability from"):
        reliability(np.empty((0, 2)), np.empty(0, int))
