"""Outlying: photos unlike all others."""

import numpy as np
import pytest

from budwood.evaluation.ood import WIDE, outliers


def rows(n=300, d=48, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = 4 * random.normal(size=(3, d))
    return centres[labels] + random.normal(size=(n, d)) * np.linspace(2, 0.2, d), labels


def test_outliers_are_far_from_every_class_and_the_farthest_come_first():
    x, labels = rows()
    x[[5, 70]] = 30 * np.random.default_rng(1).normal(size=(2, 48))
    found = outliers(x, labels)
    assert {image for image, _ in found[:2]} == {5, 70}
    assert len(found) <= 6
    deviations = [value for _, value in found]
    assert deviations == sorted(deviations, reverse=True)
    assert min(deviations) > 3


def test_outliers_of_one_group_do_not_vouch_for_each_other():
    x, labels = rows()
    x[10:40] = 30 * np.random.default_rng(1).normal(size=48)
    groups = np.array([0 if 10 <= i < 40 else i + 1 for i in range(300)])
    assert {image for image, _ in outliers(x, labels, groups)} >= set(range(10, 40))


def test_a_photo_of_another_class_is_no_outlier():
    x, labels = rows()
    labels[7] = (labels[7] + 1) % 3
    assert 7 not in {image for image, _ in outliers(x, labels)}


@pytest.mark.parametrize("n", [0, 1, 49])
def test_of_few_photos_nothing_is_said(n):
    x, labels = rows(n=max(n, 3))
    assert outliers(x[:n], labels[:n]) == []


def test_equal_photos_have_no_outliers():
    assert outliers(np.ones((60, 4)), np.arange(60) % 2) == []
    assert outliers(np.ones((60, 4)), np.arange(60) % 2, np.zeros(60, int)) == []


def test_very_many_features_are_summed_up():
    x, labels = rows(n=120)
    wide = np.hstack([x, np.zeros((120, WIDE))])
    wide[33] = np.random.default_rng(2).normal(size=wide.shape[1])
    assert outliers(wide, labels)[0][0] == 33
