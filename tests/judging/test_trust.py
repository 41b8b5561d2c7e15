"""Trust: what held-out photos say of a classifier, kept in a few arrays and numbers."""

import json

import numpy as np
import pytest

from budwood.errors import ConfigError
from budwood.judging.calibration import reliability
from budwood.judging.trust import Trust, answering_of, learned_trust, trust_in


def learned(n=800, k=4, d=24, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    features = random.normal(size=(n, d)).astype(np.float32) + 3 * np.eye(k, d)[labels]
    logits = 4 * features[:, :k].astype(float)
    trust = learned_trust(logits, labels, labels, lambda some: features[some])
    return trust, features, labels


def test_it_comes_back_as_it_was():
    trust, features, _ = learned()
    again = Trust.from_parts(json.loads(json.dumps(trust.to_json())), trust.arrays())
    assert again.temperature == trust.temperature
    np.testing.assert_array_equal(again.confidence, trust.confidence)
    np.testing.assert_array_equal(again.wrong, trust.wrong)
    np.testing.assert_allclose(
        again.familiar.distance(features[:5]), trust.familiar.distance(features[:5])
    )


def test_a_capsule_that_says_nothing_of_it_has_none():
    assert trust_in({}, {}) is None
    assert trust_in({"trust": None}, {}) is None


def test_other_photos_are_calibrated_and_the_promise_is_kept():
    trust, _, _ = learned()
    _, features, labels = learned(seed=1)
    logits = 4 * features[:, :4].astype(float)
    p = trust.probabilities(logits)
    assert reliability(p, labels).debiased < 0.03
    answering = trust.answering(0.05)
    answered = answering.answers(p)
    assert answered.mean() > 0.3
    assert (p.argmax(1) != labels)[answered].mean() < 0.08


def test_held_out_photos_need_not_be_training_photos():
    random = np.random.default_rng(0)
    features = random.normal(size=(90, 6)).astype(np.float32)
    few, labels = np.arange(20) % 2, np.arange(90) % 2
    trust = learned_trust(3.0 * np.eye(2)[few], few, labels, lambda some: features[some])
    assert len(trust.confidence) == 20
    assert trust.familiar.means.shape == (2, 6)


def test_wide_features_are_looked_at_of_fewer_photos(monkeypatch):
    monkeypatch.setattr("budwood.judging.trust.MOST_FEATURES", 24 * 50)
    asked = []

    def features_of(some):
        asked.append(len(some))
        return np.random.default_rng(0).normal(size=(len(some), 24)).astype(np.float32)

    labels = np.arange(400) % 2
    learned_trust(3.0 * np.eye(2)[labels], labels, labels, features_of)
    assert max(asked) == 50


def test_a_classifier_of_which_nothing_is_known_cannot_abstain():
    with pytest.raises(ConfigError, match=r"runs/old cannot tell when to abstain.*--val 0\.2"):
        answering_of(None, 0.02, "runs/old")


@pytest.mark.parametrize("rate", [0.0, 1.0, 7.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ConfigError, match="It must lie between 0 and 1"):
        answering_of(learned()[0], rate)


def test_no_more_than_a_few_thousand_photos_travel(monkeypatch):
    monkeypatch.setattr("budwood.judging.trust.MOST", 100)
    trust, _, _ = learned()
    assert len(trust.confidence) == len(trust.wrong) == 100
