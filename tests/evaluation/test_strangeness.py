"""Strange photos: far from every class, whatever the classifier says of them."""

import numpy as np
import pytest

from budwood.errors import DataError
from budwood.evaluation import ood as strangeness
from budwood.evaluation.ood import fit_ood_detector


def drawn(n, seed, d=40, k=3, shift=0.0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    centres = 4 * np.random.default_rng(99).normal(size=(k, d))
    scales = np.linspace(3, 0.2, d)
    return (centres[labels] + scales * random.normal(size=(n, d)) + shift).astype(
        np.float32
    ), labels


def test_the_distance_is_that_of_mahalanobis_with_all_but_the_main_axes_taken_as_one():
    x, labels = drawn(600, 0, d=6)
    found = fit_ood_detector(x, labels).detector
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([x[labels == k].mean(0) for k in range(3)])
    around = (x - means[labels]).astype(float)
    values, axes = np.linalg.eigh(around.T @ around / (600 - 3))
    values[: 6 - len(found.axes)] = values[: 6 - len(found.axes)].mean()
    precision = axes @ np.diag(1 / values) @ axes.T
    residuals = x[:9, None].astype(float) - means[None]
    expected = np.sqrt(np.einsum("nkd,de,nke->nk", residuals, precision, residuals).min(1))
    np.testing.assert_allclose(found.distance(x[:9]), expected, rtol=1e-3)
    np.testing.assert_allclose(found.distance(7 * x[:9]), expected, rtol=1e-3)


def test_about_one_in_twenty_of_the_known_is_called_strange_and_all_of_the_far():
    found = fit_ood_detector(*drawn(900, 1)).detector
    assert 0.02 < found.is_ood(drawn(900, 2)[0]).mean() < 0.09
    assert found.is_ood(drawn(100, 3, shift=5.0)[0]).all()


def test_fewer_photos_than_features():
    found = fit_ood_detector(*drawn(60, 1, d=500)).detector
    assert np.isfinite(found.limit)
    assert found.is_ood(drawn(60, 3, d=500, shift=9.0)[0]).all()


def test_the_limit_holds_for_few_photos_too():
    for n in (40, 120, 300):
        found = fit_ood_detector(*drawn(n, 1, d=200)).detector
        assert found.is_ood(drawn(900, 2, d=200)[0]).mean() < 0.15
        assert found.is_ood(drawn(300, 3, d=200, shift=6.0)[0]).mean() > 0.95


def test_what_is_kept_does_not_grow_with_the_photos():
    small, large = (fit_ood_detector(*drawn(n, 0)).detector for n in (1100, 3000))
    assert small.axes.shape == large.axes.shape
    assert small.means.shape == large.means.shape


def test_rows_are_measured_alike_one_by_one_and_together(monkeypatch):
    found, rows = fit_ood_detector(*drawn(300, 1)).detector, drawn(50, 2)[0]
    together = found.distance(rows)
    monkeypatch.setattr(strangeness, "AT_ONCE", 7)
    np.testing.assert_allclose(found.distance(rows), together, rtol=1e-9)
    assert found.distance(rows[:0]).shape == (0,)


def test_equal_photos_are_no_reason_to_divide_by_zero():
    x = np.ones((20, 5), np.float32)
    found = fit_ood_detector(x, np.arange(20) % 2).detector
    assert not found.is_ood(x).any()


def test_the_main_axes_are_nearly_those_of_an_exact_decomposition():
    scales = 1 / np.sqrt(np.arange(1, 301))
    around = (scales * np.random.default_rng(4).normal(size=(500, 300))).astype(np.float32)
    squares, axes = strangeness._main_axes(around, 20)
    exact = np.linalg.svd(around.astype(float), compute_uv=False)[:20][::-1] ** 2
    np.testing.assert_allclose(squares, exact, rtol=0.06)
    np.testing.assert_allclose(axes @ axes.T, np.eye(20), atol=1e-5)


def test_the_order_of_the_photos_hardly_matters():
    x, labels = drawn(900, 1)
    order = np.argsort(labels, kind="stable")
    one, two = (
        fit_ood_detector(x, labels).detector,
        fit_ood_detector(x[order], labels[order]).detector,
    )
    assert one.limit == pytest.approx(two.limit, rel=0.05)


@pytest.mark.parametrize(("rows", "labels"), [(1, 1), (3, 2)])
def test_a_limit_needs_photos_that_took_no_part(rows, labels):
    with pytest.raises(DataError, match="one label a row, and two rows or more"):
        fit_ood_detector(np.ones((rows, 4), np.float32), np.zeros(labels, int))


def test_two_photos_make_nothing_strange_that_is_like_them():
    x = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert not fit_ood_detector(x, np.array([0, 1])).detector.is_ood(x).any()


def test_the_limit_keeps_its_promise_for_new_images_however_few_there_are():
    """Over draws, at most 5 % of new images lie beyond the limit: the correction for few."""
    beyond = {n: [] for n in (30, 60)}
    for n, shares in beyond.items():
        for seed in range(60):
            found = fit_ood_detector(*drawn(n, seed, d=12)).detector
            shares.append(found.is_ood(drawn(300, 1000 + seed, d=12)[0]).mean())
    assert np.mean(beyond[30]) <= 0.05
    assert np.mean(beyond[60]) <= 0.05


def test_bursts_do_not_make_the_limit_too_tight():
    """Images of new scenes lie farther than images of scenes that were seen."""

    def scenes(seed, number, size, d=12):
        random = np.random.default_rng(seed)
        labels = np.arange(number) % 3
        centres = 4 * np.random.default_rng(99).normal(size=(3, d))
        of_scene = centres[labels] + random.normal(size=(number, d))
        x = np.repeat(of_scene, size, 0) + 0.2 * random.normal(size=(number * size, d))
        return x.astype(np.float32), np.repeat(labels, size), np.repeat(np.arange(number), size)

    torn, whole = [], []
    for seed in range(20):
        x, labels, groups = scenes(seed, 60, 5)
        new = scenes(500 + seed, 300, 1)[0]
        torn.append(fit_ood_detector(x, labels).detector.is_ood(new).mean())
        whole.append(fit_ood_detector(x, labels, groups).detector.is_ood(new).mean())
    assert np.mean(torn) > 0.1
    assert np.mean(whole) <= 0.06


def test_the_largest_distance_is_the_limit_where_fewer_than_nineteen_were_seen():
    x, labels = drawn(15, 0, d=6)
    fit = fit_ood_detector(x, labels)
    assert fit.detector.limit == fit.distances.max()
