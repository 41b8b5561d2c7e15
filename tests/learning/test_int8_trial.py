"""The trial of int8: what it counts, when it accepts, what it says."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import DataError
from budwood.intervals import paired_interval
from budwood.learning.int8_trial import ALLOWED_LOSS, Trial, pooled, trial_sample, try_int8

COUNTS = st.integers(0, 400)


def trial(both_right=900, gained=0, lost=0, images=1000, speed=1.9):
    return Trial(
        images=images,
        reference="bf16",
        both_right=both_right,
        gained=gained,
        lost=lost,
        interval=paired_interval(gained, lost, images),
        speed=speed,
    )


def test_rows_that_are_equal_are_accepted_without_a_difference(clusters):
    features, labels = clusters(n=90, spread=2.0)
    result = try_int8(features, features.clone(), labels, 3, named="fp32", speed=2.0)
    assert result.gained == result.lost == 0
    assert 0.5 < result.reference_top1 == result.int8_top1 < 1
    assert result.accepted


def test_rows_that_lost_their_meaning_are_refused(clusters):
    features, labels = clusters(n=90)
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    result = try_int8(features, noise, labels, 3, named="bf16", speed=2.0)
    assert result.reference_top1 == 1
    assert result.int8_top1 < 0.6
    assert result.lost > 30
    assert not result.accepted


def test_rows_that_are_better_are_accepted(clusters):
    features, labels = clusters(n=90)
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    result = try_int8(noise, features, labels, 3, named="bf16", speed=2.0)
    assert result.gained > 30
    assert result.accepted


def test_the_same_twice(clusters):
    features, labels = clusters(n=60, spread=2.0)
    coarse = features.round()
    first, again = (
        try_int8(features, coarse, labels, 3, named="bf16", speed=1.0) for _ in range(2)
    )
    assert first == again


def test_a_class_of_one_photo_does_no_harm(clusters):
    features, labels = clusters(n=60)
    labels = torch.cat([labels, torch.tensor([3])])
    features = torch.cat([features, features[:1] + 9])
    result = try_int8(features, features, labels, 4, named="bf16", speed=1.0)
    assert result.both_right == 60


def test_rows_of_other_photos_are_refused(clusters):
    features, labels = clusters(n=12)
    with pytest.raises(DataError, match="12 rows in fp32, 11 in int8 and 12 labels"):
        try_int8(features, features[1:], labels, 3, named="fp32", speed=1.0)


@pytest.mark.parametrize(("lost", "accepted"), [(0, True), (3, True), (4, False)])
def test_three_of_a_thousand_may_be_lost(lost, accepted):
    assert trial(lost=lost).accepted is accepted
    assert trial(gained=7, lost=lost + 7).accepted is accepted


@given(gained=COUNTS, lost=COUNTS, both=COUNTS, neither=COUNTS)
def test_it_is_accepted_exactly_within_the_allowed_loss(gained, lost, both, neither):
    images = gained + lost + both + neither
    if not images:
        return
    result = trial(both, gained, lost, images)
    won, (low, high) = result.difference, result.interval
    assert low <= won <= high or abs(won) > 0.9  # shrunk towards 0 at the very ends
    assert np.isclose(won, result.int8_top1 - result.reference_top1)
    assert result.accepted == (1000 * (lost - gained) <= 1000 * ALLOWED_LOSS * images)


def test_bursts_are_not_torn_and_widen_the_interval(clusters):
    features, labels = clusters(n=90, spread=2.0)
    copies, groups = features.repeat_interleave(4, 0), np.repeat(np.arange(90), 4)
    coarse, named = copies.round(), labels.repeat_interleave(4)
    torn = try_int8(copies, coarse, named, 3, named="bf16", speed=1.0)
    whole = try_int8(copies, coarse, named, 3, named="bf16", speed=1.0, groups=groups)
    assert torn.reference_top1 > whole.reference_top1 + 0.02
    wide, narrow = (np.diff(one.interval)[0] for one in (whole, torn))
    assert wide > narrow


def test_the_sentence_says_what_was_decided_why_and_what_it_gains():
    assert str(trial(gained=12, lost=14)) == (
        "int8 is used: top-1 on 1000 photos 91.2 %, with bf16 91.4 % "
        "(-0.2 points, 95 % interval -1.2 to +0.8); 1.90 times as fast."
    )
    assert str(trial(lost=20, speed=0.97)).startswith("int8 is not used: top-1 on 1000 photos 90.0")
    assert re.search(
        r"\(-2\.0 points, .*\); 0\.97 times as fast\.$", str(trial(lost=20, speed=0.97))
    )


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    size=st.integers(1, 80),
    seed=st.integers(0, 9),
)
def test_a_sample_keeps_the_share_of_every_class(sizes, size, seed):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    sample = trial_sample(labels, size, seed)
    assert len(sample) == len(set(sample)) == min(size, len(labels))
    assert sample == sorted(sample)
    for k, count in enumerate(sizes):
        share = len(sample) * count / len(labels)
        assert abs(int((labels[sample] == k).sum()) - share) < 1 + 1e-9


def test_photos_themselves_are_pooled_to_their_mean_colours(rows):
    images = torch.zeros(3, 2, 2, 3, dtype=torch.uint8)
    images[1, ..., 2] = 8
    assert pooled(rows(images)).tolist() == [[0, 0, 0], [0, 0, 8], [0, 0, 0]]
