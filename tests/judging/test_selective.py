"""Abstaining: a promised rate of error is kept on photos that took no part in the promise."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import ConfigError, DataError
from budwood.judging.abstaining import answering_for, kept_promise
from budwood.intervals import wilson_interval

ONE_SIGMA = 2 * NormalDist().cdf(1) - 1


def drawn(n, seed):
    """Probabilities of two classes, and labels that are as likely as they say."""
    random = np.random.default_rng(seed)
    sure = random.beta(4, 1, n) * 0.5 + 0.5
    p = np.stack([sure, 1 - sure], 1)
    return p, (random.random(n) >= sure).astype(int)


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.05, 0.1]), st.integers(1, 300))
def test_the_line_keeps_the_promise_one_standard_error_above_what_was_seen(seed, rate, n):
    p, labels = drawn(n, seed)
    found = answering_for(rate, p, labels)
    answered = found.answers(p)
    wrong = (p.argmax(1) != labels) & answered
    assert (answered.sum(), wrong.sum()) == (found.answered, found.wrong)
    if found.answered:
        _, above = wilson_interval(found.wrong, found.answered, confidence=ONE_SIGMA)
        assert above <= rate + 1e-12


@given(st.integers(0, 10_000))
def test_no_line_that_keeps_it_answers_more(seed):
    p, labels = drawn(60, seed)
    found = answering_for(0.1, p, labels)
    for line in p.max(1):
        answered = p.max(1) >= line
        wrong = ((p.argmax(1) != labels) & answered).sum()
        if wilson_interval(wrong, answered.sum(), confidence=ONE_SIGMA)[1] <= 0.1:
            assert answered.sum() <= found.answered


def test_the_promise_holds_on_other_photos_on_average():
    rates = []
    for seed in range(60):
        p, labels = drawn(1000, seed)
        kept = kept_promise(answering_for(0.05, p[:500], labels[:500]), p[500:], labels[500:])
        rates.append(kept.error if kept.answered else 0.0)
    assert 0.02 < np.mean(rates) <= 0.05


def test_where_nothing_can_be_promised_nothing_is_answered():
    p, labels = drawn(10, 0)
    found = answering_for(0.01, p, labels)
    assert (found.answered, found.coverage) == (0, 0.0)
    assert not found.answers(np.array([[1.0, 0.0]])).any()
    assert "too few" in str(found)
    kept = kept_promise(found, p, labels)
    assert (kept.error, kept.interval) == (None, None)


def test_photos_of_equal_confidence_are_answered_together():
    p = np.array([[0.9, 0.1]] * 100 + [[0.8, 0.2]] * 5)
    labels = np.array([0] * 100 + [0, 0, 0, 1, 1])
    found = answering_for(0.02, p, labels)
    assert found.answered == 100


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 2.0])
def test_a_rate_must_lie_between_0_and_1(rate):
    with pytest.raises(ConfigError, match=r"It must lie between 0 and 1, such as 0\.02"):
        answering_for(rate, *drawn(5, 0))


def test_a_promise_needs_photos():
    with pytest.raises(DataError, match="Nothing can be promised without photos"):
        answering_for(0.1, np.empty((0, 2)), np.empty(0, int))
