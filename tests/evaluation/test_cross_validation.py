"""Cross-validation: hits of folds, together and one by one."""

import numpy as np
import pytest

from budwood.evaluation.reliability import crossed
from budwood.intervals import wilson_interval


def test_the_whole_is_the_sum_of_its_folds():
    folds = np.array([0] * 10 + [1] * 10 + [2] * 9)
    right = np.arange(29) % 3 != 0
    found = crossed(right, folds)
    assert [fold.images for fold in found.folds] == [10, 10, 9]
    assert found.images == 29
    assert found.top1 == pytest.approx(right.mean())
    assert found.interval == wilson_interval(int(right.sum()), 29)
    said = found.to_json()
    assert [fold["top1"] for fold in said["folds"]] == [0.6, 0.7, pytest.approx(6 / 9)]
    assert said["interval"] == list(found.interval)
