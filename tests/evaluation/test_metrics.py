"""Figures agree with scikit-learn and scipy, obey their sum laws, and refuse nonsense."""

import json
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn import metrics as reference

from budwood.errors import ConfigError, DataError
from budwood.evaluation.metrics import evaluate_logits
from budwood.intervals import wilson_interval


@st.composite
def judged(draw, max_k=12):
    """Logits with many ties, labels, class names and photo names."""
    n, k = draw(st.integers(1, 30)), draw(st.integers(2, max_k))
    halves = arrays(np.int64, (n, k), elements=st.integers(-8, 8))
    logits = torch.from_numpy(draw(halves) / 2).float()
    labels = torch.from_numpy(draw(arrays(np.int64, n, elements=st.integers(0, k - 1))))
    return logits, labels, [f"c{i}" for i in range(k)], [f"{i:02d}.jpg" for i in range(n)]


def separate(n=60, k=12, seed=0):
    """Random logits without ties, where every class occurs."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator)
    return logits, torch.arange(n) % k, [f"c{i}" for i in range(k)], [f"{i}" for i in range(n)]


@given(judged())
def test_confusion_sums_to_the_photos(case):
    result = evaluate_logits(*case)
    confusion = np.array(result.confusion)
    assert confusion.sum() == result.images == len(case[0])
    assert confusion.trace() / result.images == result.top1
    assert confusion.sum(1).tolist() == [c.images for c in result.classes]


@given(judged())
def test_interval_contains_the_accuracy(case):
    result = evaluate_logits(*case)
    low, high = result.top1_interval
    assert 0 <= low <= result.top1 <= high <= 1


@given(judged(), st.randoms(use_true_random=False))
def test_order_of_photos_changes_nothing(case, shuffler: random.Random):
    logits, labels, classes, images = case
    order = list(range(len(images)))
    shuffler.shuffle(order)
    shuffled = evaluate_logits(logits[order], labels[order], classes, [images[i] for i in order])
    assert shuffled == evaluate_logits(*case)


@given(judged())
def test_agrees_with_scikit_learn(case):
    logits, labels, classes, _ = case
    result = evaluate_logits(*case)
    truth, predicted = labels.numpy(), logits.numpy().argmax(1)
    every = range(len(classes))
    assert result.confusion == tuple(
        map(tuple, reference.confusion_matrix(truth, predicted, labels=every).tolist())
    )
    columns = reference.precision_recall_fscore_support(
        truth, predicted, labels=every, zero_division=np.nan
    )
    for mine, *theirs in zip(result.classes, *columns, strict=True):
        none_is_nan = [np.nan if x is None else x for x in (mine.precision, mine.recall, mine.f1)]
        np.testing.assert_allclose([*none_is_nan, mine.images], theirs)
    probabilities = logits.double().softmax(1).numpy()
    expected = reference.log_loss(truth, probabilities, labels=every)
    np.testing.assert_allclose(result.loss, expected, rtol=1e-6)  # scikit-learn clips near 0 and 1


def test_balanced_accuracy_agrees_with_scikit_learn():
    logits, labels, classes, images = separate()
    labels[labels == 3] = 4  # class c3 has no photo
    theirs = reference.recall_score(
        labels, logits.argmax(1), labels=labels.unique(), average="macro"
    )
    assert evaluate_logits(logits, labels, classes, images).balanced_accuracy == pytest.approx(
        theirs
    )


def test_balanced_accuracy_with_all_classes_present_agrees_with_scikit_learn():
    logits, labels, classes, images = separate()
    mine = evaluate_logits(logits, labels, classes, images).balanced_accuracy
    assert mine == pytest.approx(reference.balanced_accuracy_score(labels, logits.argmax(1)))


def test_top5_agrees_with_scikit_learn():
    logits, labels, classes, images = separate()
    theirs = reference.top_k_accuracy_score(labels, logits, k=5, labels=range(12))
    assert evaluate_logits(logits, labels, classes, images).top5 == theirs


@pytest.mark.parametrize(("k", "told"), [(9, False), (10, True)])
def test_top5_is_told_from_ten_classes_on(k, told):
    assert (evaluate_logits(*separate(k=k)).top5 is not None) is told


def test_equal_scores_go_to_the_class_that_comes_first():
    result = evaluate_logits(torch.zeros(1, 10), torch.tensor([5]), list("abcdefghij"), ["x"])
    assert result.most_wrong[0].predicted == "a"
    assert result.top5 == 0.0


def test_a_huge_logit_gives_a_finite_loss():
    logits = torch.tensor([[1e4, 0.0]], dtype=torch.float32)
    assert evaluate_logits(logits, torch.tensor([1]), ["a", "b"], ["x"]).loss == 1e4


def test_most_wrong_are_the_confident_mistakes_by_confidence():
    logits = torch.tensor([[0.0, 1.0], [0.0, 3.0], [9.0, 0.0], [0.0, 3.0]])
    result = evaluate_logits(logits, torch.zeros(4).long(), ["a", "b"], ["p", "z", "right", "y"])
    assert [m.path for m in result.most_wrong] == ["y", "z", "p"]
    assert result.most_wrong[0].probability == pytest.approx(1 / (1 + np.exp(-3)))
    assert result.most_wrong[0].label_probability == pytest.approx(1 / (1 + np.exp(3)))


def test_most_unsure_are_the_closest_calls_right_or_wrong():
    logits = torch.tensor([[5.0, 0.0], [0.1, 0.0], [0.0, 0.2]])
    result = evaluate_logits(logits, torch.zeros(3).long(), ["a", "b"], ["sure", "just", "not"], 2)
    assert [m.path for m in result.most_unsure] == ["just", "not"]


def test_json_survives_a_round_trip_and_has_null_for_shares_of_nothing():
    logits, labels = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([1])
    value = evaluate_logits(logits, labels, ["a", "b", "c"], ["x.jpg"]).to_json()
    plain = json.loads(json.dumps(value, allow_nan=False))
    assert plain["classes"][1].pop("recall_interval")[0] == 0.0
    assert all(c.pop("recall_interval", None) is None for c in plain["classes"])
    assert plain["top1"] == value["top1"]
    assert [c["precision"] for c in value["classes"]] == [0.0, None, None]
    assert [c["recall"] for c in value["classes"]] == [None, 0.0, None]
    assert value["classes"][2]["f1"] is None


def test_text_is_a_readable_table():
    logits = torch.tensor([[2.0, 0, 0], [0, 1.0, 0], [0, 3.0, 0], [1.0, 0.9, 0]])
    labels = torch.tensor([0, 1, 0, 0])
    result = evaluate_logits(logits, labels, ["rose", "雏菊", "tulip"], list("abcd"), worst=2)
    assert str(result) == (
        "Top-1 accuracy 0.750 (95 % interval 0.301 to 0.954) on 4 photos.\n"
        "Balanced accuracy 0.833, loss 1.1767.\n"
        "\n"
        "class  precision  recall     f1  photos\n"
        "rose       1.000   0.667  0.800       3\n"
        "雏菊       0.500   1.000  0.667       1\n"
        "tulip          -       -      -       0\n"
        "\n"
        "Most wrong  is    predicted  probability  of the truth\n"
        "c           rose  雏菊             0.909         0.045\n"
        "\n"
        "Most unsure  is    predicted  probability  of the truth\n"
        "d            rose  rose             0.440         0.440\n"
        "b            雏菊  雏菊             0.576         0.576"
    )


def test_text_tells_top5_from_ten_classes_on():
    assert "Top-5 accuracy" in str(evaluate_logits(*separate()))
    assert "Top-5" not in str(evaluate_logits(*separate(k=9)))


def test_text_of_a_perfect_result_lists_no_wrong_photos():
    result = evaluate_logits(torch.eye(3), torch.arange(3), list("abc"), list("xyz"))
    assert "Most wrong" not in str(result)


@given(st.integers(1, 3000), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_interval_agrees_with_scipy(n, data, confidence):
    correct = data.draw(st.integers(0, n))
    theirs = binomtest(correct, n).proportion_ci(confidence, method="wilson")
    mine = wilson_interval(correct, n, confidence)
    np.testing.assert_allclose(mine, (theirs.low, theirs.high), atol=1e-12)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_an_impossible_count_is_refused(correct, n):
    with pytest.raises(DataError, match="at least one photo, and 0 to all of them right"):
        wilson_interval(correct, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_an_impossible_confidence_is_refused(confidence):
    with pytest.raises(ConfigError, match=r"between 0 and 1, such as 0\.95"):
        wilson_interval(1, 2, confidence)


@pytest.mark.parametrize(
    ("logits", "labels", "classes", "images", "message"),
    [
        (torch.zeros(0, 2), torch.zeros(0).long(), "ab", "", "at least one labelled photo"),
        (torch.zeros(2, 2), torch.zeros(2).long(), "ab", "x", "one row and one label a photo"),
        (torch.zeros(2, 2), torch.zeros(1).long(), "ab", "xy", "one row and one label a photo"),
        (torch.zeros(2, 3), torch.zeros(2).long(), "ab", "xy", "one column a class"),
        (torch.zeros(1, 1), torch.zeros(1).long(), "a", "x", "At least two are needed"),
        (torch.zeros(1, 2), torch.tensor([2]), "ab", "x", "must lie in 0 to 1"),
        (torch.zeros(1, 2), torch.tensor([-1]), "ab", "x", "must lie in 0 to 1"),
        (torch.tensor([[0, 0], [0, torch.nan]]), torch.zeros(2).long(), "ab", "xy", "of 'y'.*--lr"),
        (torch.tensor([[torch.inf, 0]]), torch.tensor([0]), "ab", "x", "first of 'x'.*lower --lr"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(logits, labels, classes, images, message):
    with pytest.raises(DataError, match=message):
        evaluate_logits(logits, labels, list(classes), list(images))


def test_a_negative_number_of_worst_photos_is_refused():
    with pytest.raises(ConfigError, match="0 or more"):
        evaluate_logits(torch.eye(2), torch.arange(2), ["a", "b"], ["x", "y"], worst=-1)


def test_groups_widen_the_intervals_and_nothing_else():
    random = np.random.default_rng(0)
    labels = torch.tensor(np.repeat(np.arange(40) % 2, 5))
    wrong = np.repeat(random.random(40) < 0.2, 5)
    logits = torch.eye(2)[torch.where(torch.tensor(wrong), 1 - labels, labels)]
    names = [str(i) for i in range(200)]
    alone, together = (
        evaluate_logits(logits, labels, ["a", "b"], names, groups=groups)
        for groups in (None, np.arange(200) // 5)
    )
    assert together.top1 == alone.top1
    assert np.ptp(together.top1_interval) > 1.8 * np.ptp(alone.top1_interval)
    for one, other in zip(alone.classes, together.classes, strict=True):
        assert np.ptp(other.recall_interval) > 1.5 * np.ptp(one.recall_interval)


def test_of_very_many_classes_the_table_names_those_that_do_worst():
    k = 100
    labels = torch.arange(50).repeat_interleave(2)
    logits = torch.nn.functional.one_hot(labels, k).double()
    logits[::2][:7] = logits[::2][:7].roll(1, 1)
    classes = [f"class {n:02}" for n in range(k)]
    text = str(evaluate_logits(logits, labels, classes, [str(n) for n in range(100)], worst=0))
    rows = [line for line in text.splitlines() if line.startswith("class ")][1:]
    assert [row.split()[1] for row in rows[:7]] == [f"{n:02}" for n in range(7)]
    assert len(rows) == 20
    assert "\n... 80 more classes; these have the lowest recall. --json, as result.json" in text
