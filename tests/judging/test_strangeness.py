"""Strange photos: far from every class, whatever the classifier says of them."""

import numpy as np
import pytest

from budwood.errors import DataError
from budwood.judging.strangeness import familiar


def drawn(n, seed, d=40, k=3, shift=0.0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    centres = 4 * np.random.default_rng(99).normal(size=(k, d))
    scales = np.linspace(3, 0.2, d)
    return (centres[labels] + scales * random.normal(size=(n, d)) + shift).astype(
        np.float32
    ), labels


def test_the_distance_is_that_of_mahalanobis_where_all_axes_are_kept():
    x, labels = drawn(600, 0, d=6)
    found = familiar(x, labels, np.arange(600) % 5)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([x[labels == k].mean(0) for k in range(3)])
    around = (x - means[labels]).astype(float)
    values, axes = np.linalg.eigh(around.T @ around / (600 - 3))
    values[: 6 - len(found.axes)] = values[: 6 - len(found.axes)].mean()
    precision = axes @ np.diag(1 / values) @ axes.T
    away = x[:9, None].astype(float) - means[None]
    expected = np.sqrt(np.einsum("nkd,de,nke->nk", away, precision, away).min(1))
    np.testing.assert_allclose(found.distance(x[:9]), expected, rtol=1e-3)
    np.testing.assert_allclose(found.distance(7 * x[:9]), expected, rtol=1e-3)


def test_about_one_in_twenty_of_the_known_is_called_strange_and_all_of_the_far():
    found = familiar(*drawn(900, 1), np.arange(900) % 5)
    assert 0.02 < found.is_strange(drawn(900, 2)[0]).mean() < 0.09
    assert found.is_strange(drawn(100, 3, shift=5.0)[0]).all()


def test_fewer_photos_than_features():
    found = familiar(*drawn(60, 1, d=500), np.arange(60) % 5)
    assert np.isfinite(found.limit)
    assert found.is_strange(drawn(60, 3, d=500, shift=9.0)[0]).all()


def test_what_is_kept_does_not_grow_with_the_photos():
    small, large = (familiar(*drawn(n, 0), np.arange(n) % 5) for n in (300, 3000))
    assert small.axes.shape == large.axes.shape
    assert small.means.shape == large.means.shape


def test_equal_photos_are_no_reason_to_divide_by_zero():
    x = np.ones((20, 5), np.float32)
    found = familiar(x, np.arange(20) % 2, np.arange(20) % 4)
    assert not found.is_strange(x).any()


def test_a_limit_needs_photos_that_took_no_part():
    x, labels = drawn(10, 0)
    with pytest.raises(DataError, match="two folds or more"):
        familiar(x, labels, np.zeros(10, int))
