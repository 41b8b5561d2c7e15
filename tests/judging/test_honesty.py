"""Honesty: what became of what was promised, told for people and as JSON."""

import json

import numpy as np

from budwood.judging.abstaining import Answering
from budwood.judging.honesty import honesty_of
from budwood.judging.trust import learned_trust

ANSWERING = Answering(0.1, threshold=0.7, photos=100, answered=90, wrong=8)
LABELS = np.array([0] * 45 + [1] * 45 + [1] * 10)
LOGITS = np.array([[2.0, 0.0]] * 45 + [[0.0, 2.0]] * 45 + [[0.2, 0.0]] * 10)
STRANGE = np.arange(100) < 4


def test_it_is_told_apart_how_sure_it_was_what_it_answered_and_what_was_strange():
    said = honesty_of(None, LOGITS, LABELS, STRANGE, ANSWERING).to_json()
    assert said["calibration"]["temperature"] is None
    assert sum(b["photos"] for b in said["calibration"]["bins"]) == 100
    assert said["strange"]["called"] == 4
    assert said["strange"]["interval"][0] < 0.04 < said["strange"]["interval"][1]
    assert said["abstain"]["promised"] == 0.1
    assert said["abstain"]["wrong"] == 8
    test = said["abstain"]["test"]
    assert (test["photos"], test["answered"], test["wrong"]) == (100, 90, 0)
    assert (test["coverage"], test["error"]) == (0.9, 0.0)
    assert json.loads(json.dumps(said)) == said


def test_people_are_told_the_promise_beside_what_was_measured():
    text = str(honesty_of(None, LOGITS, LABELS, STRANGE, ANSWERING))
    assert "not calibrated" in text
    assert "it answers 90.0 % of the 100 photos; 0.0 % of the answers are wrong" in text
    assert "at most 10.0 % was promised" in text
    assert "4 of 100 photos (4.0 %) were called unlike all training photos" in text


def test_where_no_promise_can_be_made_that_is_said():
    nothing = Answering(0.01, threshold=2.0, photos=20, answered=0, wrong=0)
    honesty = honesty_of(None, LOGITS, LABELS, None, nothing)
    assert "With --abstain it answers nothing: 20 held-out photos are too few" in str(honesty)
    assert honesty.to_json()["abstain"]["test"]["error"] is None
    assert honesty.to_json()["strange"] is None


def test_a_promise_of_which_no_photo_is_sure_enough_is_said_to_answer_none():
    sure = Answering(0.1, threshold=0.999, photos=100, answered=50, wrong=0)
    text = str(honesty_of(None, LOGITS, LABELS, None, sure))
    assert "answers none of the 100 photos" in text


def test_probabilities_are_those_of_the_temperature():
    random = np.random.default_rng(0)
    labels = np.arange(600) % 3
    logits = 2.0 * np.eye(3)[labels] + random.normal(size=(600, 3))
    features = np.eye(3, 8)[labels] + 0.1 * random.normal(size=(600, 8))
    trust = learned_trust(8 * logits, labels, labels, lambda some: features[some])
    before = honesty_of(None, 8 * logits, labels, None)
    after = honesty_of(trust, 8 * logits, labels, None)
    assert after.temperature == trust.temperature > 2
    assert after.reliability.error < before.reliability.error / 2
