"""LogME and H-score: equal to slow ones written down from the papers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from budwood.errors import DataError
from budwood.judging.transferability import h_score, logme


def slow_logme(x, labels):
    """The log evidence itself, maximised over both precisions by a general optimiser."""
    n = len(x)
    values = []
    for k in np.unique(labels):
        y = (labels == k).astype(float)

        def negative(logs, y=y):
            alpha, beta = np.exp(logs)
            spread = x @ x.T / alpha + np.eye(n) / beta
            return -multivariate_normal(np.zeros(n), spread, allow_singular=True).logpdf(y)

        starts = [(0.0, 0.0), (3.0, 2.0), (-2.0, 3.0)]
        found = [minimize(negative, start, method="Nelder-Mead").fun for start in starts]
        values.append(-min(found) / n)
    return np.mean(values)


def slow_h_score(x, labels):
    means = np.stack([x[labels == k].mean(0) for k in labels])
    return np.trace(np.linalg.pinv(np.cov(x.T), rcond=1e-12) @ np.cov(means.T))


def drawn(n, d, k, apart, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return random.normal(size=(n, d)) + apart * random.normal(size=(k, d))[labels], labels


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from([(30, 4), (40, 12), (25, 40)]),
    st.integers(2, 3),
    st.sampled_from([0.5, 2.0]),
    st.integers(0, 99),
)
def test_logme_is_the_maximum_of_the_evidence(shape, k, apart, seed):
    x, labels = drawn(*shape, k, apart, seed)
    assert logme(x, labels) == pytest.approx(slow_logme(x, labels), abs=2e-3)


@given(st.integers(5, 40), st.integers(2, 8), st.integers(2, 4), st.integers(0, 99))
def test_h_score_is_the_trace_of_the_papers(n, d, k, seed):
    x, labels = drawn(max(n, 4 * k, d + 2), d, k, 1.0, seed)
    assert h_score(x, labels) == pytest.approx(slow_h_score(x, labels), rel=1e-6)


def test_h_score_is_at_most_the_classes_less_one():
    x, labels = drawn(200, 10, 4, 100.0, 0)
    assert 2.9 < h_score(x, labels) <= 3.0


@pytest.mark.parametrize("score", [logme, h_score])
def test_features_that_tell_classes_apart_score_higher(score):
    scores = [score(*drawn(120, 10, 3, apart, 1)) for apart in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("score", [logme, h_score])
def test_what_cannot_be_judged_is_said(score):
    with pytest.raises(DataError, match="one row and one label a photo"):
        score(np.zeros((3, 2)), np.array([0, 1]))
    with pytest.raises(DataError, match="two are needed"):
        score(np.ones((3, 2)), np.array([1, 1, 1]))
