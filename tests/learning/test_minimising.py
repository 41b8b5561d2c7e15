"""The minimiser against SciPy's, on random problems solved side by side."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from budwood.learning.minimising import Axes, minimise


def problem(seed, n, d, k):
    random = np.random.default_rng(seed)
    z = random.normal(size=(n, d)) * random.uniform(0.2, 3, d)
    return torch.from_numpy(z), torch.from_numpy(
        np.concatenate([np.arange(k), random.integers(0, k, n - k)])
    )


def objective(flat, z, y, k, penalty, share, bias):
    """Value and slope by the book, over weights `d k` and bias `k` in the original features."""
    d = z.shape[1]
    w, b = flat[: d * k].reshape(d, k), flat[d * k :] * bias
    logits = z @ w + b
    logits = logits - logits.max(1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(1, keepdims=True)
    value = -(share * np.log(p[np.arange(len(y)), y])).sum() + penalty / 2 * (w**2).sum()
    p[np.arange(len(y)), y] -= 1
    p *= share[:, None]
    slope = np.concatenate([(z.T @ p + penalty * w).ravel(), p.sum(0) * bias])
    return value, slope


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(6, 30),
    d=st.integers(1, 12),
    k=st.integers(2, 4),
    penalty=st.floats(0.05, 50),
    bias=st.booleans(),
)
def test_finds_the_least_value_that_scipy_finds(seed, n, d, k, penalty, bias):
    z, y = problem(seed, n, d, k)
    axes = Axes(z)
    everyone = torch.ones(1, n, dtype=torch.float64)
    solution = minimise(axes, y, k, [penalty], everyone, bias, steps=300)[0]
    ours = np.concatenate([(axes.directions @ solution[:-1]).numpy().ravel(), solution[-1].numpy()])
    arguments = (z.numpy(), y.numpy(), k, penalty, np.ones(n), bias)
    start = np.zeros(d * k + k)
    theirs = minimize(objective, start, arguments, "L-BFGS-B", True, options={"gtol": 1e-9})
    value, slope = objective(ours, *arguments)
    assert value <= theirs.fun + 1e-7 * abs(theirs.fun)
    assert np.linalg.norm(slope) <= 1e-4 * np.linalg.norm(objective(start, *arguments)[1])


def test_problems_side_by_side_get_the_solutions_they_get_alone():
    z, y = problem(3, 40, 6, 3)
    axes = Axes(z)
    weights = torch.ones(3, 40, dtype=torch.float64)
    weights[1, :10] = 0
    weights[2, 10:20] = 0
    penalties = [0.5, 5.0, 50.0]
    together = minimise(axes, y, 3, penalties, weights, True, steps=300)
    for i, penalty in enumerate(penalties):
        alone = minimise(axes, y, 3, [penalty], weights[i : i + 1], True, steps=300)
        torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-5)


def test_a_row_of_weight_zero_is_left_out():
    z, y = problem(4, 30, 5, 2)
    weights = torch.ones(1, 30, dtype=torch.float64)
    weights[0, 20:] = 0
    masked, short = Axes(z), Axes(z[:20])
    with_zeros = minimise(masked, y, 2, [1.0], weights, True, steps=300)[0]
    without = minimise(short, y[:20], 2, [1.0], weights[:, :20], True, steps=300)[0]
    torch.testing.assert_close(
        masked.directions @ with_zeros[:-1], short.directions @ without[:-1], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("n", "d"), [(10, 4), (4, 10)])
def test_axes_lose_nothing_of_the_features(n, d):
    z, _ = problem(5, n, d, 2)
    axes = Axes(z)
    torch.testing.assert_close(axes.coordinates @ axes.directions.T, z)
    assert axes.coordinates.shape[1] <= min(n, d)


def test_without_a_bias_the_bias_stays_zero():
    z, y = problem(6, 20, 3, 3)
    everyone = torch.ones(1, 20, dtype=torch.float64)
    assert minimise(Axes(z), y, 3, [1.0], everyone, False, steps=50)[0, -1].tolist() == [0, 0, 0]


def test_single_precision_comes_close_to_double():
    z, y = problem(7, 40, 6, 3)
    everyone = torch.ones(1, 40, dtype=torch.float64)
    double = minimise(Axes(z), y, 3, [2.0], everyone, True, steps=100)
    single = minimise(Axes(z).single(), y, 3, [2.0], everyone, True, steps=40)
    torch.testing.assert_close(single, double, rtol=1e-2, atol=1e-3)
