"""Forecasts of images that are drawn, so that the accuracy on new ones is known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from budwood.judging.learning_curve import Forecast, learning_curve
from budwood.learning.probe import FittedProbe, Probe, fit_probe

DRAWS = 60
CLASSES, WIDTH = 3, 30
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
    penalty = fit_probe(everyone.x[known], everyone.y[known], CLASSES, groups=own).penalty
    curve = learning_curve(
        everyone.x[known], everyone.y[known], CLASSES, penalty=penalty, groups=own, seed=seed
    )
    head = fit_probe(everyone.x, everyone.y, CLASSES, Probe(penalty=penalty), groups=groups)
    fresh = images(random, FRESH, 1, gap)
    more = round((2 * n - int(known.sum())) / CLASSES)
    return curve.forecast(more), accuracy(head, fresh)


@pytest.mark.parametrize(
    ("n", "size", "gap", "often"),
    [
        pytest.param(200, 1, 2.8, 0.5, id="single images"),
        pytest.param(400, 4, 2.8, 0.5, id="groups"),
        pytest.param(200, 1, 6.0, 0.0, id="nearly all right"),
    ],
)
def test_the_interval_holds_the_accuracy_on_new_images_and_the_forecast_is_not_worse_than_naive(
    n, size, gap, often
):
    forecasts, truths = zip(*(simulated(s, n, size, gap) for s in range(DRAWS)), strict=True)
    truth = np.array(truths)
    top1, low, high = np.array([list(forecast) for forecast in forecasts]).T
    naive = np.array([forecast.naive.top1 for forecast in forecasts])
    useful = np.array([forecast.is_useful for forecast in forecasts])
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9
    assert np.abs(top1 - truth).mean() <= np.abs(naive - truth).mean() + 1e-9
    assert useful.mean() >= often
    if often:
        assert ((low <= truth) & (truth <= high))[useful].mean() >= 0.88
        assert (truth > naive).mean() > 0.6
    else:
        assert useful.mean() <= 0.25
