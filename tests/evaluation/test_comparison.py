"""Comparing stages: the best, what is as good, and the sentences that recommend one or none."""

import re
from dataclasses import replace

import numpy as np
import pytest

from budwood.errors import ConfigError
from budwood.evaluation import comparison
from budwood.evaluation.comparison import ComparedNetwork, ComparedStage, Comparison
from budwood.intervals import wilson_interval
from budwood.text import width_of

IMAGES = 400


def stage(name, right, seconds, images=IMAGES):
    return ComparedStage(
        name=name,
        width=8,
        macs=1,
        memory=10**6,
        seconds=seconds,
        top1=right / images,
        interval=wilson_interval(right, images),
        balanced_accuracy=right / images,
        l2_strength=1.0,
        logme=0.0,
        h_score=0.0,
        fit_seconds=0.0,
        right=np.arange(images) < right,
    )


def compared(*stages, images=IMAGES, weights="imagenet", skipped=(), **more):
    network = ComparedNetwork("small", weights, 10**6, 0, images, stages)
    return Comparison(images, ("a", "b"), 5, 0.5, (network,), skipped, **more)


def test_the_best_is_called_the_best_where_no_quicker_one_is_non_inferior():
    found = compared(stage("blocks.1", 250, 1.0), stage("blocks.2", 360, 2.0))
    assert found.recommended is found.best
    assert found.recommendation == (
        "`small`, cut after `blocks.2`: top-1 0.900 (0.867 to 0.926), the best, and no quicker one "
        "is non-inferior; freeze all of it."
    )


def test_a_quicker_non_inferior_stage_is_recommended_with_what_it_may_cost():
    stages = stage("blocks.1", 200, 1.0), stage("b", 359, 2.0), stage("c", 361, 4.0)
    found = compared(*stages, margin=0.015)
    assert [place.stage.name for place in found.places if place.is_non_inferior(0.015)] == [
        "c",
        "b",
    ]
    assert "`small`, cut after `b`: top-1 0.897" in found.recommendation
    assert "non-inferior to the best (`small`, cut after `c`: 0.902; " in found.recommendation
    assert "difference -0.5 points, 95 % interval -1.3 to +0.3" in found.recommendation
    assert "at 50 % of its time; freeze up to there." in found.recommendation
    assert compared(*stages).recommended.stage.name == "c"


def test_a_stage_that_is_not_significantly_different_is_not_therefore_recommended():
    found = compared(stage("quick", 354, 1.0), stage("best", 358, 4.0))
    assert all(place.is_tie for place in found.places)
    assert found.recommended.stage.name == "best"


def crossed(images=60):
    """Two stages of which each is right where the other is wrong, now and then."""
    numbers = np.arange(images)
    stages = stage("quick", 0, 1.0, images), stage("best", 0, 2.0, images)
    rights = numbers % 10 > 1, (numbers % 10 > 2) | (numbers % 10 == 0) | (numbers == 1)
    return tuple(
        replace(
            one,
            right=right,
            top1=float(right.mean()),
            interval=wilson_interval(int(right.sum()), images),
        )
        for one, right in zip(stages, rights, strict=True)
    )


def test_where_few_images_show_no_stage_to_be_non_inferior_the_way_out_is_named():
    found = compared(*crossed(), images=60)
    assert found.recommended is None
    assert found.recommendation.startswith(
        "None: no stage is shown to be within 1.0 point of the best by 60 images. The most "
        "accurate is `small`, cut after `best`: top-1 0.817 ("
    )
    assert found.to_json()["recommended"] is None
    assert ">" not in str(found).partition("\n\n95 %")[0]
    wider, named = re.search(
        r"--margin (\S+) .* on, (.+) is recommended", found.recommendation
    ).groups()
    again = compared(*crossed(), images=60, margin=float(wider))
    assert str(again.recommended) == named
    assert compared(*crossed(), images=60, margin=float(wider) - 0.001).recommended is None


def test_the_way_out_names_the_groups():
    found = compared(*crossed(), images=60, groups=np.arange(60) // 2)
    assert "of the best by 60 images in 30 groups. " in found.recommendation


def test_a_single_stage_is_recommended():
    found = compared(stage("only", 380, 1.0))
    assert found.recommended is found.best
    assert found.best.worst_case == found.optimism == 0.0
    assert not found.optimism_note


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.01, float("nan")])
def test_a_margin_is_a_share(margin):
    with pytest.raises(ConfigError, match=r"margin is .*between 0 and 1: 0.01 is one point"):
        compared(stage("a", 300, 1.0), margin=margin)


def test_what_is_no_better_than_naming_the_largest_class_is_not_recommended():
    found = compared(stage("a", 205, 1.0), stage("b", 200, 2.0))
    assert found.recommended is None
    assert found.recommendation.startswith(
        "None: no stage is shown to be better than the majority-class baseline (0.500; the best is "
    )


def test_the_front_holds_what_nothing_beats_in_both():
    found = compared(stage("a", 200, 1.0), stage("b", 190, 2.0), stage("c", 300, 3.0))
    assert [place.stage.name for place in found.front] == ["a", "c"]


def test_with_many_stages_a_difference_must_be_clearer_to_be_called_one():
    random = np.random.default_rng(0)
    best, less = stage("best", 300, 9.0), stage("less", 293, 1.0)
    others = [
        replace(stage(f"s{i}", 295, 5.0), right=random.permutation(np.arange(IMAGES) < 295))
        for i in range(20)
    ]
    few, many = (
        next(place.p_value for place in found.places if place.stage.name == "less")
        for found in (compared(best, less), compared(best, less, *others))
    )
    assert few < 0.05 < many


def test_stages_that_are_right_on_the_same_images_make_no_difference_less_clear():
    best, less = stage("best", 300, 9.0), stage("less", 293, 1.0)
    few = compared(best, less)
    many = compared(best, less, *(stage(f"s{i}", 300, 5.0) for i in range(20)))
    few_p, many_p = (
        next(place.p_value for place in found.places if place.stage.name == "less")
        for found in (few, many)
    )
    assert many_p == pytest.approx(few_p, abs=0.01)
    assert many.recommended.stage.name == "s0"  # "less" is quicker, and not shown to be as good


def test_the_table_fits_into_100_columns_and_marks_what_counts():
    found = compared(
        stage("encoder.layers.encoder_layer_11", 250, 0.001),
        stage("b", 359, 0.002),
        stage("c", 361, 12.3456),
        skipped=(("vgg16", "no weights."),),
        margin=0.02,
    )
    text = str(found)
    table = text.partition("\n\n95 %: ")[0]
    assert width_of(table) <= 100
    lines = {line.split()[0]: line for line in table.splitlines() if line.startswith("  ")}
    assert lines["...rs.encoder_layer_11"].endswith(" *")
    assert lines["b"].endswith("=*>")
    assert lines["c"].endswith("=*")
    assert "small, 1.0 MB to download" in text
    assert "Not compared: vgg16: no weights." in text
    assert f"\n\n{found.optimism_note}\n\nRecommended: " in text
    assert found.optimism_note.startswith("The best of 3 stages was chosen by these images: its ")
    assert text.endswith(f"Recommended: {found.recommendation}")


def test_random_weights_are_called_so():
    found = compared(stage("a", 380, 1.0), weights="none")
    assert "`small (random)`" in found.recommendation
    assert "\nsmall (random)" in str(found)


def test_the_optimism_is_told_in_points(monkeypatch):
    for share, text in ((0.0004, "less than 0.1 points"), (0.0213, "about 2.1 points")):
        found = compared(stage("a", 200, 1.0), stage("b", 359, 2.0))
        monkeypatch.setattr(comparison, "optimism", lambda *args, share=share: share)
        assert found.optimism_note.endswith(f"its figure is {text} too good.")


def test_json_tells_what_is_significant_non_inferior_and_pareto_optimal():
    found = compared(
        stage("a", 200, 1.0), stage("b", 359, 2.0), stage("c", 361, 4.0), margin=0.02
    ).to_json()
    stages = {one["stage"]: one for one in found["models"][0]["stages"]}
    assert [name for name, one in stages.items() if one["not_significantly_different"]] == [
        "b",
        "c",
    ]
    assert [name for name, one in stages.items() if one["non_inferior"]] == ["b", "c"]
    assert stages["a"]["worst_case"] < -0.35 < -0.02 < stages["b"]["worst_case"] < -0.01
    assert found["margin"] == 0.02
    assert 0 <= found["optimism"] < 0.01
    assert [name for name, one in stages.items() if one["pareto_optimal"]] == ["a", "b", "c"]
    assert stages["b"]["difference"] == pytest.approx(-0.005)
    assert found["best"] == {"model": "small", "weights": "imagenet", "stage": "c"}
    assert found["recommended"]["stage"] == "b"
