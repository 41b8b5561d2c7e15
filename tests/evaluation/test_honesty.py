"""What probabilities and "unknown" came to on labelled photos, for people and as JSON."""

import json

import numpy as np

from budwood.evaluation.held_out_statistics import learned_statistics
from budwood.evaluation.reliability import calibration_of
from budwood.evaluation.selective import NEVER, SelectiveRule
from budwood.learning.fitting import HeldOutLogits

RULE = SelectiveRule(0.1, threshold=0.7, images=100, answered=90, wrong=4)
LABELS = np.array([0] * 45 + [1] * 45 + [1] * 10)
LOGITS = np.array([[2.0, 0.0]] * 45 + [[0.0, 2.0]] * 45 + [[0.2, 0.0]] * 10)
OOD = np.arange(100) < 4


def test_it_is_told_apart_how_sure_it_was_what_it_answered_and_what_was_far():
    said = calibration_of(None, LOGITS, LABELS, OOD, RULE).to_json()
    assert said["calibration"]["temperature"] is None
    assert sum(b["images"] for b in said["calibration"]["bins"]) == 100
    assert said["ood"]["flagged"] == 4
    assert said["ood"]["interval"][0] < 0.04 < said["ood"]["interval"][1]
    assert said["abstain"]["target_error"] == 0.1
    assert said["abstain"]["confidence"] == 0.9
    test = said["abstain"]["test"]
    assert (test["images"], test["covered"], test["low_confidence"], test["ood"]) == (
        100,
        86,
        10,
        4,
    )
    assert (test["coverage"], test["selective_error"]) == (0.86, 0.0)
    assert json.loads(json.dumps(said)) == said


def test_people_are_told_the_target_beside_what_was_measured():
    text = str(calibration_of(None, LOGITS, LABELS, OOD, RULE))
    assert "not calibrated" in text
    assert "it answers 86.0 % of the 100 images" in text
    assert "0.0 % of the answers are wrong" in text
    assert "The target error is 10.0 %, with 90 % confidence" in text
    assert "4 of 100 photos (4.0 %) were called out of distribution" in text


def test_where_the_target_cannot_be_shown_that_is_said():
    nothing = SelectiveRule(0.01, threshold=NEVER, images=20, answered=0, wrong=0)
    calibration = calibration_of(None, LOGITS, LABELS, None, nothing)
    assert "it answers nothing, 20 held-out images are too few" in str(calibration)
    assert calibration.to_json()["abstain"]["test"]["selective_error"] is None
    assert calibration.to_json()["ood"] is None


def test_groups_widen_what_is_said_of_the_gap():
    bursts = np.repeat(np.arange(20), 5)
    wrong = np.where(bursts % 4 == 0, 1 - LABELS, LABELS)
    alone, together = (
        calibration_of(None, LOGITS, wrong, OOD, RULE, groups).to_json()
        for groups in (None, bursts)
    )
    for name in ("overconfidence_interval", "ece_if_perfect"):
        narrow, wide = (one["calibration"][name] for one in (alone, together))
        assert wide[1] - wide[0] > narrow[1] - narrow[0]


def test_probabilities_are_those_of_the_temperature():
    random = np.random.default_rng(0)
    labels = np.arange(600) % 3
    logits = 2.0 * np.eye(3)[labels] + random.normal(size=(600, 3))
    features = np.eye(3, 8)[labels] + 0.1 * random.normal(size=(600, 8))
    held_out = HeldOutLogits(labels, 8 * logits, None, np.arange(600))
    statistics = learned_statistics(held_out, labels, None, lambda some: features[some])
    before = calibration_of(None, 8 * logits, labels, None)
    after = calibration_of(statistics, 8 * logits, labels, None)
    assert after.temperature == statistics.temperature > 2
    assert after.reliability.error < before.reliability.error / 2
