"""Overconfidence is shown as what it is, within its stated interval (`sim_c`, as a test)."""

import numpy as np
import pytest

from budwood.evaluation.calibration import reliability

DRAWS = 100


def found(n, gap, size=1):
    """Reliability of a classifier that is right less often, by `gap`, than it says."""
    reliabilities = []
    for seed in range(DRAWS):
        random = np.random.default_rng(seed)
        sure = np.repeat(0.5 + 0.5 * random.beta(3.2, 0.45, n // size), size)
        luck = np.repeat(random.random(n // size), size)
        labels = (luck >= np.clip(sure - gap, 0, 1)).astype(int)
        groups = None if size == 1 else np.repeat(np.arange(n // size), size)
        reliabilities.append(reliability(np.stack([sure, 1 - sure], 1), labels, groups))
    return reliabilities


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("n", [200, 550, 2000])
def test_a_gap_of_3_points_is_shown_as_3_points(n, size):
    seen = found(n, 0.03, size)
    assert np.mean([one.gap for one in seen]) == pytest.approx(0.03, abs=0.03 * (size / n) ** 0.5)
    held = [one.gap_interval[0] <= 0.03 <= one.gap_interval[1] for one in seen]
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize("n", [200, 550])
def test_a_perfect_classifier_lies_in_its_band(n, size):
    seen = found(n, 0.0, size)
    assert np.mean([one.band[0] <= one.error <= one.band[1] for one in seen]) >= 0.9
    assert np.mean([one.gap_interval[0] <= 0 <= one.gap_interval[1] for one in seen]) >= 0.9


def test_a_gap_of_5_points_lies_above_the_band_of_2000_images():
    assert np.mean([one.error > one.band[1] for one in found(2000, 0.05)]) > 0.95
