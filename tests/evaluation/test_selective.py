"""Selective prediction: which images are answered, and why the others are not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from budwood.errors import ConfigError, DataError
from budwood.evaluation.selective import (
    CONFIDENCE,
    NEVER,
    OOD,
    UNSURE,
    SelectiveRule,
    applied,
    fit_rule,
)

RULE = SelectiveRule(0.05, threshold=0.7, images=100, answered=90, wrong=2)


def drawn(n, seed):
    """How sure a perfectly calibrated classifier is, and where it is wrong."""
    random = np.random.default_rng(seed)
    sure = 0.5 + 0.5 * random.beta(4, 1, n)
    return sure, random.random(n) >= sure


def shares(sure):
    return np.stack([sure, 1 - sure], 1)


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.05, 0.1]), st.integers(1, 600))
def test_a_threshold_is_one_that_the_exact_test_passes(seed, target, n):
    sure, wrong = drawn(n, seed)
    found = fit_rule(target, sure, wrong)
    answered = sure >= found.threshold
    assert (answered.sum(), wrong[answered].sum()) == (found.answered, found.wrong)
    if found.answered:
        assert binom.cdf(found.wrong, found.answered, target) <= 1 - CONFIDENCE + 1e-9


@given(st.integers(0, 10_000))
def test_a_stricter_target_answers_no_more(seed):
    sure, wrong = drawn(500, seed)
    strict, loose = (fit_rule(target, sure, wrong) for target in (0.02, 0.2))
    assert strict.answered <= loose.answered


def test_too_few_images_show_nothing_and_nothing_is_answered():
    sure = np.full(44, 0.99)
    found = fit_rule(0.05, sure, np.zeros(44, bool))  # 45 right ones would show it
    assert (found.threshold, found.answered, found.coverage) == (NEVER, 0, 0.0)
    assert not found.answers(np.array([[1.0, 0.0]]), None).any()
    assert "44 held-out images are too few" in str(found)
    assert fit_rule(0.05, np.full(45, 0.99), np.zeros(45, bool)).answered == 45


def test_images_of_equal_confidence_are_answered_together():
    sure = np.array([0.9] * 300 + [0.8] * 9)
    wrong = np.array([False] * 300 + [True] * 9)
    assert fit_rule(0.02, sure, wrong).answered == 300
    assert fit_rule(0.02, np.full(309, 0.9), wrong).answered == 0


def test_frames_of_one_burst_are_no_witnesses_of_their_own():
    sure, wrong = np.full(300, 0.9), np.zeros(300, bool)
    assert fit_rule(0.02, sure, wrong).answered == 300
    bursts = np.repeat(np.arange(60), 5)
    assert fit_rule(0.02, sure, wrong, groups=bursts).answered == 0
    assert fit_rule(0.05, sure, wrong, groups=bursts).answered == 300


def test_images_that_are_out_of_distribution_are_not_answered_and_not_counted():
    sure, wrong = np.full(300, 0.9), np.arange(300) < 30
    assert fit_rule(0.02, sure, wrong).answered == 0
    found = fit_rule(0.02, sure, wrong, ood=wrong)
    assert (found.answered, found.images) == (270, 300)


def test_reasons_and_counts_are_those_of_one_rule():
    p = shares(np.array([0.9, 0.6, 0.95, 0.8, 0.6]))
    ood = np.array([False, False, True, False, True])
    assert RULE.reasons(p, ood) == [None, UNSURE, OOD, None, OOD]
    assert RULE.answers(p, ood).tolist() == [True, False, False, True, False]
    found = applied(RULE, p, np.array([0, 0, 0, 1, 0]), ood)
    assert (found.images, found.answered, found.wrong, found.ood) == (5, 2, 1, 2)
    test = found.to_json()["test"]
    assert test["covered"] + test["low_confidence"] + test["ood"] == test["images"]
    assert "1 are too unsure, 2 out of distribution" in str(found)
    assert "The target error is 5.0 %, with 90 % confidence." in str(found)


def test_where_nothing_is_answered_there_is_no_error():
    found = applied(RULE, shares(np.array([0.5, 0.6])), np.array([0, 0]))
    assert (found.error, found.interval) == (None, None)
    assert "it answers none of the 2 images" in str(found)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 2.0])
def test_a_target_must_lie_between_0_and_1(target):
    with pytest.raises(ConfigError, match=r"It must lie between 0 and 1, such as 0\.02"):
        fit_rule(target, *drawn(5, 0))


def test_a_threshold_needs_images():
    with pytest.raises(DataError, match="cannot be read off no photos"):
        fit_rule(0.1, np.empty(0), np.empty(0, bool))
