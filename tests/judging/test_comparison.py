"""Comparing stages: the best, what ties with it, and the sentence that recommends one."""

import numpy as np

from budwood.judging.comparison import ComparedNetwork, ComparedStage, Comparison
from budwood.judging.intervals import wilson_interval

PHOTOS = 400


def stage(name, right, milliseconds):
    hits = np.arange(PHOTOS) < right
    return ComparedStage(
        name=name,
        width=8,
        macs=1,
        top1=right / PHOTOS,
        interval=wilson_interval(right, PHOTOS),
        balanced_accuracy=right / PHOTOS,
        penalty=1.0,
        logme=0.0,
        h_score=0.0,
        fit_seconds=0.0,
        milliseconds=milliseconds,
        right=hits,
    )


def compared(*stages):
    network = ComparedNetwork("small", "imagenet", 1.0, 9.0, stages)
    return Comparison(PHOTOS, ("a", "b"), 5, (network,))


def test_the_best_is_called_the_best_where_it_is_the_quickest_of_the_ties():
    found = compared(stage("blocks.1", 200, 1.0), stage("blocks.2", 360, 2.0))
    assert found.recommended.stage.name == "blocks.2"
    assert "the best" in found.recommendation
    assert "not to be told" not in found.recommendation


def test_a_quicker_stage_that_ties_with_the_best_is_recommended_with_its_share_of_the_time():
    found = compared(stage("blocks.1", 200, 1.0), stage("b", 359, 2.0), stage("c", 361, 4.0))
    assert [place.stage.name for place in found.ties] == ["c", "b"]
    assert "`small`, cut after `b`" in found.recommendation
    assert "at 50 % of its time" in found.recommendation


def test_the_front_holds_what_nothing_beats_in_both():
    found = compared(stage("a", 200, 1.0), stage("b", 190, 2.0), stage("c", 300, 3.0))
    assert [place.stage.name for place in found.front] == ["a", "c"]
