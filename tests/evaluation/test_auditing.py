"""Auditing: what is known of photos becomes findings, in words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from budwood.data.duplicates import CaptureTime
from budwood.evaluation.data_issues import (
    AuditedImages,
    findings,
    leak_of,
    leaked,
    near_duplicates_of,
)
from budwood.learning.probe import fit_probe

CLASSES = ("roses", "tulips")


def audited(n=40, seed=0, **changes):
    """Photos unlike each other, two classes in turns, three in four in train."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = random.normal(size=(n, 32)) + 6 * np.eye(2, 32)[labels]
    parts = tuple("test" if i % 4 == 3 else "train" for i in range(n))
    small = random.integers(0, 256, (n, 8, 8)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    images = AuditedImages(
        root=Path("photos"),
        classes=CLASSES,
        paths=tuple(Path(f"photos/{CLASSES[k]}/{i}.jpg") for i, k in enumerate(labels)),
        labels=labels,
        parts=parts,
        digests=tuple(str(i).encode() for i in range(n)),
        sizes=((300, 400),) * n,
        small=small,
        moments=(None,) * n,
        features=features.astype(np.float32),
        unreadable={},
    )
    return replace(images, **changes)


def sure(images):
    return np.where(np.eye(2, dtype=bool)[images.labels], 0.95, 0.05)


def found(images, probabilities=None):
    alikes = near_duplicates_of(images)
    return findings(images, alikes, sure(images) if probabilities is None else probabilities)


def with_digests(images, pairs):
    digests = list(images.digests)
    for first, second in pairs:
        digests[second] = digests[first]
    return replace(images, digests=tuple(digests))


def test_good_photos_give_no_findings():
    assert found(audited()) == ()


def test_equal_files_of_one_class_and_split_are_double():
    (finding,) = found(with_digests(audited(), [(0, 2), (0, 4)]))
    assert finding.kind == "duplicate"
    assert [path.name for path in finding.images] == ["0.jpg", "2.jpg", "4.jpg"]
    assert finding.reason == "The same file is there 3 times."
    assert finding.advice == "Keep one."


def test_equal_files_across_splits_leak():
    (finding,) = found(with_digests(audited(), [(1, 3)]))
    assert finding.kind == "leak"
    assert "test and train" in finding.reason
    assert finding.reason.startswith("The same file")


def test_one_photo_in_two_classes_is_a_conflict():
    (finding,) = found(with_digests(audited(), [(0, 1)]))
    assert finding.kind == "duplicate"
    assert finding.reason == "The same file is labelled roses and tulips."


def test_a_conflict_across_splits_is_told_as_a_leak_with_both_labels():
    (finding,) = found(with_digests(audited(), [(0, 3)]))
    assert finding.kind == "leak"
    assert "roses and tulips" in finding.reason
    assert "test and train" in finding.reason


def test_a_copy_is_the_same_picture():
    images = audited()
    small = images.small.copy()
    small[6] = small[2][:, ::-1]
    (finding,) = found(replace(images, small=small))
    assert finding.reason == "The same picture is there 2 times."


def burst(images, members):
    moments = [CaptureTime("camera", 1e6 + 2 * i) if i in members else None for i in range(40)]
    return replace(images, moments=tuple(moments))


def test_bursts_are_told_and_leak_across_splits():
    (harmless,) = found(burst(audited(), {0, 1, 2}))
    assert (harmless.kind, len(harmless.images)) == ("burst", 3)
    assert harmless.reason == "3 photos were taken within seconds of each other."
    (leak,) = found(burst(audited(), {0, 1, 2, 3}))
    assert leak.kind == "leak"
    assert "within seconds of each other and lie in test and train" in leak.reason


def test_a_wrong_label_is_told_with_what_it_looks_like():
    images = audited()
    probabilities = sure(images)
    probabilities[5] = (0.99, 0.01)
    (finding,) = found(images, probabilities)
    assert (finding.kind, finding.suggestion) == ("label", "roses")
    assert finding.reason == "It is labelled tulips and looks like roses (0.99 against 0.01)."


def test_a_photo_unlike_all_others_is_told():
    images = audited(200, parts=("train",) * 200)
    features = images.features.copy()
    features[70] = -20 * np.linspace(-1, 1, 32)
    told = [f for f in found(replace(images, features=features)) if f.kind == "outlier"]
    assert told[0].images == (Path("photos/roses/70.jpg"),)
    assert told[0].reason == "It is unlike all other photos."
    assert len(told) <= 6


def test_without_probabilities_labels_are_not_judged():
    images = audited()
    assert findings(images, near_duplicates_of(images), None) == ()


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((40, 300), "It has only 300 x 40 pixels."),
        ((100, 900), "Its shape is odd: 900 x 100 pixels."),
    ],
)
def test_tiny_and_odd_photos_show_little(size, reason):
    sizes = [(300, 400)] * 40
    sizes[7] = size
    (finding,) = found(audited(sizes=tuple(sizes)))
    assert (finding.kind, finding.reason) == ("uninformative", reason)


def test_a_blank_photo_shows_nothing_and_is_no_copy_of_another():
    images = audited()
    small = images.small.copy()
    small[[7, 9]] = 200
    told = found(replace(images, small=small))
    assert [(f.kind, f.reason) for f in told] == [("uninformative", "It is blank.")] * 2


def test_a_photo_that_cannot_be_read_is_told_with_the_reason():
    broken = {Path("photos/roses/x.jpg"): "The photo ends too early (truncated). Copy it again."}
    (finding,) = found(audited(unreadable=broken))
    assert (finding.kind, finding.reason) == ("unreadable", "The photo ends too early (truncated).")
    assert finding.images == (Path("photos/roses/x.jpg"),)


def lopsided(labels):
    images = audited(200, labels=labels, parts=("train",) * 200)
    return [f for f in findings(images, near_duplicates_of(images), None) if f.kind == "imbalance"]


def test_lopsided_and_small_classes_are_told_by_their_training_photos():
    labels = np.array([0] * 196 + [1] * 4)
    (finding,) = lopsided(labels)
    assert (finding.kind, finding.images) == ("imbalance", ())
    assert "'tulips' has only 4 training photos" in finding.reason
    labels = np.array([0] * 182 + [1] * 18)
    (finding,) = lopsided(labels)
    assert finding.reason == "Class 'tulips' has 18 training photos, the largest has 182."


def test_what_is_known_from_training_is_marked():
    images = with_digests(audited(), [(1, 3), (0, 2)])
    marked = leaked(images, near_duplicates_of(images).groups)
    assert np.flatnonzero(marked).tolist() == [3]


def test_ids_differ_and_stay():
    images = with_digests(audited(), [(1, 3), (0, 2), (4, 5)])
    one, other = found(images), found(images)
    assert [f.id for f in one] == [f.id for f in other]
    assert len({f.id for f in one}) == len(one) == 3


def leak(images):
    return leak_of(images, np.array(near_duplicates_of(images).groups))


def test_a_leak_is_worth_what_the_same_test_photos_lose_when_it_is_taken_out_of_training():
    random = np.random.default_rng(3)
    images = audited(features=random.normal(size=(40, 32)).astype(np.float32))  # chance
    images = with_digests(
        images, [(i, i + 2) for i in (1, 5, 9, 13, 17)]
    )  # half of the test photos
    features = images.features.copy()
    features[[3, 7, 11, 15, 19]] = features[[1, 5, 9, 13, 17]]
    images = replace(images, features=features)
    seen = leak(images)
    assert seen.images == 5
    groups = np.array(near_duplicates_of(images).groups)
    train = np.array(images.parts) == "train"
    clean = train & ~np.isin(groups, groups[~train])
    assert clean.sum() == train.sum() - 5
    labels, test = torch.from_numpy(images.labels), np.flatnonzero(~train)
    for learned, top1 in ((train, seen.top1), (clean, seen.top1_without)):
        probe = fit_probe(
            torch.from_numpy(features[learned]), labels[learned], 2, groups=groups[learned]
        )
        logits = torch.from_numpy(features[test]) @ probe.weight.T + probe.bias
        assert top1 == pytest.approx((logits.argmax(1) == labels[test]).float().mean().item())
    assert seen.difference == pytest.approx(seen.top1 - seen.top1_without)
    assert seen.difference_interval[0] <= seen.difference <= seen.difference_interval[1]
    assert str(seen).startswith(
        "5 test photos are known from training: on the same test photos, top-1 of a linear head is "
    )


def test_without_a_leak_both_figures_are_one():
    seen = leak(audited())
    assert (seen.images, seen.top1, seen.difference) == (0, seen.top1_without, 0.0)


def test_where_nothing_is_left_to_learn_from_that_is_said():
    images = audited(parts=("train",) * 3 + ("test",) * 37)
    seen = leak(with_digests(images, [(0, 38), (1, 39), (2, 37)]))
    assert (seen.images, seen.top1_without, seen.interval_without) == (3, None, None)
    assert (seen.difference, seen.difference_interval) == (None, None)
    assert str(seen).endswith("without what leaks, too few photos are left to learn from.")


def test_without_test_photos_or_with_one_class_there_is_no_leak_to_measure():
    assert leak(audited(parts=("train",) * 40)) is None
    assert leak(audited(labels=np.zeros(40, np.int64))) is None
