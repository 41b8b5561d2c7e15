"""Forecasts of images that are drawn, so that the accuracy on new ones is known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from budwood.evaluation.learning_curve import Forecast, learning_curve
from budwood.learning.probe import FittedProbe, Probe, fit_probe

pytestmark = pytest.mark.slow

CLASSES, WIDTH = 3, 60
FRESH = 20_000


@dataclass(frozen=True)
class Images:
    """Features, classes and groups."""

    x: torch.Tensor
    y: torch.Tensor
    groups: np.ndarray


def images(random: np.random.Generator, n: int, size: int, gap: float) -> Images:
    """Gaussian classes. Groups have 1 to `2 size - 1` images, which share half of their noise."""
    means = np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    means *= gap / np.sqrt(2) / np.linalg.norm(means, axis=1, keepdims=True)
    groups = np.repeat(np.arange(n), random.integers(1, 2 * size, size=n))[:n]
    y = random.integers(CLASSES, size=n)[groups]
    common = random.normal(size=(n, WIDTH))[groups] if size > 1 else 0.0
    own = random.normal(size=(n, WIDTH))
    noise = np.sqrt(0.5) * (common + own) if size > 1 else own
    return Images(torch.from_numpy((means[y] + noise).astype(np.float32)), torch.tensor(y), groups)


def accuracy(head: FittedProbe, of: Images) -> float:
    named = (of.x @ head.weight.T + head.bias).argmax(1)
    return float((named == of.y).double().mean())


def simulated(seed: int, n: int, size: int, gap: float) -> tuple[Forecast, float]:
    """The forecast of twice as many images, and the accuracy of a head that learned from them."""
    random = np.random.default_rng((size, seed))
    everyone = images(random, 2 * n, size, gap)
    known = torch.from_numpy(everyone.groups < everyone.groups[n])
    groups = None if size == 1 else everyone.groups
    own = None if groups is None else groups[known.numpy()]
    l2_strength = fit_probe(everyone.x[known], everyone.y[known], CLASSES, groups=own).l2_strength
    curve = learning_curve(
        everyone.x[known],
        everyone.y[known],
        CLASSES,
        l2_strength=l2_strength,
        groups=own,
        seed=seed,
    )
    head = fit_probe(everyone.x, everyone.y, CLASSES, Probe(l2_strength=l2_strength), groups=groups)
    fresh = images(random, FRESH, 1, gap)
    more = round((2 * n - int(known.sum())) / CLASSES)
    return curve.forecast(more), accuracy(head, fresh)


@pytest.mark.parametrize(
    ("n", "size", "gap", "draws"),
    [
        pytest.param(300, 1, 3.2, 40, id="single images"),
        pytest.param(600, 4, 3.2, 40, id="groups"),
    ],
)
def test_intervals_hold_the_accuracy_on_new_images_and_forecasts_are_better_than_naive(
    n, size, gap, draws
):
    of = [simulated(seed, n, size, gap) for seed in range(draws)]
    truth = np.array([accuracy for _, accuracy in of])
    top1, low, high = np.array([(forecast.top1, *forecast.interval) for forecast, _ in of]).T
    naive = np.array([forecast.naive.top1 for forecast, _ in of])
    useful = np.array([forecast.is_useful for forecast, _ in of])
    held = (low <= truth) & (truth <= high)
    assert held.mean() >= 0.9
    assert held[useful].mean() >= 0.9
    assert np.abs(top1 - truth).mean() <= np.abs(naive - truth).mean()
    assert useful.mean() > 0.5


def test_what_is_nearly_all_right_already_is_not_forecast():
    of = [simulated(seed, 200, 1, 6.0) for seed in range(15)]
    assert np.mean([forecast.is_useful for forecast, _ in of]) <= 0.2
    assert np.mean([f.interval[0] <= truth <= f.interval[1] for f, truth in of]) >= 0.85
