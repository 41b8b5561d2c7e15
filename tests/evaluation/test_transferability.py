"""LogME and H-score: equal to slow ones written down from the papers, with their invariances.

A published table of LogME cannot be recomputed without its networks and photos; what the formulas
imply of any features is tested instead.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from budwood.errors import DataError
from budwood.evaluation.transferability import h_score, logme, spectrum

SHAPES = st.sampled_from([(30, 4), (40, 12), (25, 40)])


def logme_by_evidence(x, labels):
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


def logme_by_fixed_point(x, labels):
    """Algorithm 1 of the paper, with whole matrices and run until it stands still."""
    (n, d), values = x.shape, []
    gram = x.T @ x
    sigma = np.linalg.eigvalsh(gram).clip(0)
    for k in np.unique(labels):
        y = (labels == k).astype(float)
        alpha = beta = 1.0
        for _ in range(3000):
            a = alpha * np.eye(d) + beta * gram
            m = beta * np.linalg.solve(a, x.T @ y)
            gamma = (beta * sigma / (alpha + beta * sigma)).sum()
            before = alpha / beta
            with np.errstate(all="ignore"):
                new = gamma / (m @ m), (n - gamma) / ((x @ m - y) ** 2).sum()
            if not 1e-9 < new[0] / new[1] < 1e9:  # one of them grows without end
                break
            alpha, beta = new
            if abs(alpha / beta - before) <= 1e-12 * before:
                break
        a = alpha * np.eye(d) + beta * gram
        m = beta * np.linalg.solve(a, x.T @ y)
        evidence = n * np.log(beta) + d * np.log(alpha) - n * np.log(2 * np.pi)
        evidence -= beta * ((x @ m - y) ** 2).sum() + alpha * (m @ m) + np.linalg.slogdet(a)[1]
        values.append(evidence / (2 * n))
    return np.mean(values)


def slow_h_score(x, labels):
    means = np.stack([x[labels == k].mean(0) for k in labels])
    return np.trace(np.linalg.pinv(np.cov(x.T), rcond=1e-12) @ np.cov(means.T))


def drawn(n, d, k, apart, seed):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return random.normal(size=(n, d)) + apart * random.normal(size=(k, d))[labels], labels


@settings(deadline=None, max_examples=15)
@given(SHAPES, st.integers(2, 3), st.sampled_from([0.5, 2.0]), st.integers(0, 99))
def test_logme_is_the_maximum_of_the_evidence(shape, k, apart, seed):
    x, labels = drawn(*shape, k, apart, seed)
    assert logme(spectrum(x, labels)) == pytest.approx(logme_by_evidence(x, labels), abs=2e-3)


@settings(deadline=None, max_examples=20)
@example((30, 4), 2, 0.5, 2)
@example((25, 40), 2, 0.5, 53)
@given(SHAPES, st.integers(2, 3), st.sampled_from([0.5, 1.0]), st.integers(0, 99))
def test_logme_is_the_papers_fixed_point_or_better(shape, k, apart, seed):
    x, labels = drawn(*shape, k, apart, seed)
    theirs = logme_by_fixed_point(x, labels)
    assert logme(spectrum(x, labels)) >= theirs - 1e-6
    if shape[0] > shape[1]:  # else their iteration may end before the maximum
        assert logme(spectrum(x, labels)) == pytest.approx(theirs, abs=1e-5)


@given(st.integers(5, 40), st.integers(2, 8), st.integers(2, 4), st.integers(0, 99))
def test_h_score_is_the_trace_of_the_papers(n, d, k, seed):
    x, labels = drawn(max(n, 4 * k, d + 2), d, k, 1.0, seed)
    assert h_score(spectrum(x, labels)) == pytest.approx(slow_h_score(x, labels), rel=1e-6)


@given(st.integers(2, 4), st.integers(0, 99))
def test_h_score_with_more_features_than_photos_is_the_trace_of_the_papers(k, seed):
    x, labels = drawn(20, 35, k, 1.0, seed)
    assert h_score(spectrum(x, labels)) == pytest.approx(slow_h_score(x, labels), rel=1e-6)
    assert h_score(spectrum(x, labels)) == pytest.approx(k - 1)


@given(st.integers(0, 99), st.sampled_from([3.0, 100.0]))
def test_h_score_is_the_same_for_features_far_from_zero(seed, far):
    x, labels = drawn(60, 6, 3, 1.0, seed)
    assert h_score(spectrum(x + far, labels)) == pytest.approx(slow_h_score(x, labels), rel=1e-4)


def test_h_score_is_at_most_the_classes_less_one():
    x, labels = drawn(200, 10, 4, 100.0, 0)
    assert 2.9 < h_score(spectrum(x, labels)) <= 3.0


@given(SHAPES, st.integers(0, 99), st.floats(0.01, 100))
def test_neither_depends_on_scale_rotation_order_or_empty_features(shape, seed, scale):
    x, labels = drawn(*shape, 3, 1.0, seed)
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(x.shape[1], x.shape[1])))[0]
    order = random.permutation(len(x))
    wider = np.column_stack([x @ turn * scale, np.zeros((len(x), 2))])
    for score in (logme, h_score):
        moved = score(spectrum(wider[order], labels[order]))
        assert moved == pytest.approx(score(spectrum(x, labels)), rel=1e-5, abs=1e-5)


@given(st.integers(0, 99))
def test_h_score_does_not_depend_on_any_invertible_map(seed):
    x, labels = drawn(50, 5, 3, 1.0, seed)
    mixed = np.eye(5) + 0.3 * np.random.default_rng(seed).normal(size=(5, 5))
    assert h_score(spectrum(x @ mixed + 2.0, labels)) == pytest.approx(
        h_score(spectrum(x, labels)), rel=1e-4
    )


@pytest.mark.parametrize("score", [logme, h_score])
def test_features_that_tell_classes_apart_score_higher(score):
    scores = [score(spectrum(*drawn(120, 10, 3, apart, 1))) for apart in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_features_that_are_all_the_same_say_nothing(value):
    labels = np.arange(12) % 3
    x = np.full((12, 4), value)
    assert h_score(spectrum(x, labels)) == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(logme(spectrum(x, labels)))


def test_what_cannot_be_judged_is_said():
    with pytest.raises(DataError, match="one row and one label a photo"):
        spectrum(np.zeros((3, 2)), np.array([0, 1]))
    with pytest.raises(DataError, match="two are needed"):
        spectrum(np.ones((3, 2)), np.array([1, 1, 1]))
