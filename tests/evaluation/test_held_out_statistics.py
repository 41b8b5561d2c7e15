"""Trust: what held-out photos say of a classifier, kept in a few arrays and numbers."""

import json

import numpy as np
import pytest

from budwood.errors import ConfigError
from budwood.evaluation.calibration import reliability
from budwood.evaluation.held_out_statistics import (
    HeldOutStatistics,
    learned_statistics,
    rule_of,
    statistics_in,
)
from budwood.learning.fitting import HeldOutLogits


def learned(n=800, k=4, d=24, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    features = random.normal(size=(n, d)).astype(np.float32) + 3 * np.eye(k, d)[labels]
    logits = 4 * features[:, :k].astype(float)
    statistics = statistics_of(logits, labels, features)
    return statistics, features, labels


def statistics_of(logits, labels, features, groups=None):
    """Of training photos that are all held out in turn."""

    held_out = HeldOutLogits(labels, logits, groups, np.arange(len(labels)))
    return learned_statistics(held_out, labels, groups, lambda some: features[some])


def test_it_comes_back_as_it_was():
    statistics, features, _ = learned()
    again = HeldOutStatistics.from_parts(
        json.loads(json.dumps(statistics.to_json())), statistics.arrays()
    )
    assert again.temperature == statistics.temperature
    np.testing.assert_array_equal(again.confidence, statistics.confidence)
    np.testing.assert_array_equal(again.wrong, statistics.wrong)
    np.testing.assert_array_equal(again.ood, statistics.ood)
    np.testing.assert_allclose(
        again.ood_detector.distance(features[:5]), statistics.ood_detector.distance(features[:5])
    )


def test_a_capsule_that_says_nothing_of_it_has_none():
    assert statistics_in({}, {}) is None
    assert statistics_in({"trust": None}, {}) is None


def test_groups_come_back():
    _, features, labels = learned()
    logits, bursts = (
        4 * features[:, :4].astype(float),
        np.arange(800) // 16 * 4 + np.arange(800) % 4,
    )
    grouped = statistics_of(logits, labels, features, bursts)
    again = HeldOutStatistics.from_parts(grouped.to_json(), grouped.arrays())
    np.testing.assert_array_equal(again.groups, bursts)
    assert again.rule(0.05) == grouped.rule(0.05)


def test_a_capsule_of_0_1_0_has_neither_flags_nor_groups():
    statistics, _, _ = learned()
    old = {name: a for name, a in statistics.arrays().items() if name != "trust.ood"}
    again = HeldOutStatistics.from_parts(statistics.to_json(), old)
    assert (again.ood, again.groups) == (None, None)
    assert again.rule(0.05).answered >= statistics.rule(0.05).answered


def test_about_one_in_twenty_held_out_photos_is_out_of_distribution():
    statistics, _, _ = learned()
    assert 0.03 < statistics.ood.mean() <= 0.05


def test_other_photos_are_calibrated_and_the_target_error_is_kept():
    statistics, _, _ = learned()
    _, features, labels = learned(seed=1)
    logits = 4 * features[:, :4].astype(float)
    p = statistics.probabilities(logits)
    found = reliability(p, labels)
    assert found.error < found.band[1] + 0.01
    answered = statistics.rule(0.05).answers(p, statistics.ood_detector.is_ood(features))
    assert answered.mean() > 0.3
    assert (p.argmax(1) != labels)[answered].mean() < 0.06


def test_held_out_photos_need_not_be_training_photos():
    random = np.random.default_rng(0)
    features = random.normal(size=(90, 6)).astype(np.float32)
    few, labels = np.arange(20) % 2, np.arange(90) % 2
    others = random.normal(size=(20, 6)).astype(np.float32)
    others[3] = 50 * np.array([1, -1, 1, -1, 1, -1])
    held_out = HeldOutLogits(few, 3.0 * np.eye(2)[few])
    statistics = learned_statistics(
        held_out, labels, None, features.__getitem__, others.__getitem__
    )
    assert len(statistics.confidence) == 20
    assert statistics.ood_detector.means.shape == (2, 6)
    np.testing.assert_array_equal(statistics.ood, statistics.ood_detector.is_ood(others))


def test_wide_features_are_looked_at_of_fewer_photos(monkeypatch):
    monkeypatch.setattr("budwood.evaluation.held_out_statistics.MOST_FEATURES", 24 * 50)
    asked = []

    def features_of(some):
        asked.append(len(some))
        return np.random.default_rng(0).normal(size=(len(some), 24)).astype(np.float32)

    labels = np.arange(400) % 2
    held_out = HeldOutLogits(labels, 3.0 * np.eye(2)[labels])
    learned_statistics(held_out, labels, None, features_of, np.ones((400, 24)).__getitem__)
    assert max(asked) == 50


def test_a_classifier_of_which_nothing_is_known_cannot_abstain():
    with pytest.raises(ConfigError, match=r"runs/old cannot tell when to abstain.*--val 0\.2"):
        rule_of(None, 0.02, "runs/old")


@pytest.mark.parametrize("rate", [0.0, 1.0, 7.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ConfigError, match="It must lie between 0 and 1"):
        rule_of(learned()[0], rate)


def test_no_more_than_a_few_thousand_photos_travel(monkeypatch):
    monkeypatch.setattr("budwood.evaluation.held_out_statistics.MOST", 100)
    statistics, _, _ = learned()
    assert len(statistics.confidence) == len(statistics.wrong) == 100
