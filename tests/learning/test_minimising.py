"""The minimiser against SciPy's, on random problems solved side by side."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from budwood.learning.lbfgs import LabelledRows, Regressions, axes_of
from budwood.learning.streaming import Blocks, FeatureRows


def problem(seed, n, d, k):
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, d)) * random.uniform(0.2, 3, d)
    return torch.from_numpy(z), torch.from_numpy(
        np.concatenate([np.arange(k), random.integers(0, k, n - k)])
    )


def blocks(z, size=7):
    """Features as they are."""
    flat = torch.zeros(z.shape[1], dtype=torch.float64)
    return Blocks(FeatureRows(z), flat, flat + 1, size)


def axes(z):
    return axes_of(blocks(z))


def minimise(z, y, k, l2_strength, shares, bias=True, size=7, dtype=torch.float64, steps=300):
    """Weights `p k d` and bias `p k`."""
    rows = LabelledRows(blocks(z, size), y, k, bias)
    regressions = Regressions(rows, shares, dtype)
    close = 1e-6 if dtype == torch.float64 else 1e-4
    w = regressions.minimise(l2_strength, None, close, steps).double()
    return rows.axes.weights(w[..., :-1]), w[..., -1]


def objective(flat, z, y, k, l2_strength, share, bias):
    """Value and slope by the book, over weights `d k` and bias `k` in the original features."""
    d = z.shape[1]
    w, b = flat[: d * k].reshape(d, k), flat[d * k :] * bias
    logits = z @ w + b
    logits = logits - logits.max(1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    value = -(share * np.log(p[np.arange(len(y)), y])).sum() + l2_strength / 2 * (w**2).sum()
    p[np.arange(len(y)), y] -= 1
    p *= share[:, None]
    slope = np.concatenate([(z.T @ p + l2_strength * w).ravel(), p.sum(0) * bias])
    return value, slope


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(6, 30),
    d=st.integers(1, 12),
    k=st.integers(2, 4),
    l2_strength=st.floats(0.05, 50),
    bias=st.booleans(),
)
def test_finds_the_least_value_that_scipy_finds(seed, n, d, k, l2_strength, bias):
    z, y = problem(seed, n, d, k)
    everyone = torch.ones(1, n, dtype=torch.float64)
    weight, offset = minimise(z, y, k, l2_strength, everyone, bias)
    ours = np.concatenate([weight[0].T.numpy().ravel(), offset[0].numpy()])
    arguments = (z.numpy(), y.numpy(), k, l2_strength, np.ones(n), bias)
    start = np.zeros(d * k + k)
    theirs = minimize(objective, start, arguments, "L-BFGS-B", True, options={"gtol": 1e-9})
    value, slope = objective(ours, *arguments)
    assert value <= theirs.fun + 1e-7 * abs(theirs.fun)
    assert np.linalg.norm(slope) <= 1e-4 * np.linalg.norm(objective(start, *arguments)[1])


def test_problems_side_by_side_get_the_solutions_they_get_alone():
    z, y = problem(3, 40, 6, 3)
    shares = torch.ones(3, 40, dtype=torch.float64)
    shares[1, :10] = 0
    shares[2, 10:20] = 0
    together = minimise(z, y, 3, 5.0, shares)
    for i in range(3):
        alone = minimise(z, y, 3, 5.0, shares[i : i + 1])
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[i], theirs[0], rtol=1e-4, atol=1e-5)


def test_a_row_of_no_share_is_left_out_with_its_part_of_the_penalty():
    z, y = problem(4, 30, 5, 2)
    shares = torch.ones(1, 30, dtype=torch.float64)
    shares[0, 20:] = 0
    with_zeros = minimise(z, y, 2, 1.0, shares)
    without = minimise(z[:20], y[:20], 2, 20 / 30, shares[:, :20])
    torch.testing.assert_close(with_zeros, without, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("n", "d"), [(10, 4), (4, 10)])
def test_axes_lose_nothing_of_the_features(n, d):
    z, _ = problem(5, n, d, 2)
    parts = axes(z)
    rows = torch.cat([block for _, block in parts.blocks.each(torch.float64)])
    torch.testing.assert_close(parts.weights(rows), z)
    assert rows.shape[1] <= min(n, d)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (4, 10)])
def test_the_gradient_along_the_axes_is_that_of_the_columns(n, d):
    parts = axes(problem(5, n, d, 2)[0]).to(torch.float64)
    one, other = torch.randn(2, parts.blocks.width, dtype=torch.float64).unbind()
    assert float(parts.columns(one) @ other) == pytest.approx(float(one @ parts.along(other)))


def test_without_a_bias_the_bias_stays_zero():
    z, y = problem(6, 20, 3, 3)
    everyone = torch.ones(1, 20)
    assert minimise(z, y, 3, 1.0, everyone, bias=False)[1].tolist() == [[0, 0, 0]]


def test_single_precision_comes_close_to_double():
    z, y = problem(7, 40, 6, 3)
    everyone = torch.ones(1, 40)
    double = minimise(z, y, 3, 2.0, everyone)
    single = minimise(z, y, 3, 2.0, everyone, dtype=torch.float32)
    torch.testing.assert_close(single, double, rtol=1e-2, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(6, 40), d=st.integers(1, 12), size=st.integers(1, 50))
def test_blocks_of_any_size_give_the_same_solution(seed, n, d, size):
    z, y = problem(seed, n, d, 3)
    everyone = torch.ones(1, n)
    whole = minimise(z, y, 3, 2.0, everyone, size=n)
    torch.testing.assert_close(
        minimise(z, y, 3, 2.0, everyone, size=size), whole, rtol=1e-4, atol=1e-6
    )
