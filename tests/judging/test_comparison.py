"""Comparing stages: the best, what ties with it, and the sentence that recommends one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.judging.comparison import ComparedNetwork, ComparedStage, Comparison, holm
from budwood.intervals import wilson_interval
from budwood.surgery.tables import width_of

PHOTOS = 400


def stage(name, right, seconds, photos=PHOTOS):
    return ComparedStage(
        name=name,
        width=8,
        macs=1,
        memory=10**6,
        seconds=seconds,
        top1=right / photos,
        interval=wilson_interval(right, photos),
        balanced_accuracy=right / photos,
        penalty=1.0,
        logme=0.0,
        h_score=0.0,
        fit_seconds=0.0,
        right=np.arange(photos) < right,
    )


def compared(*stages, photos=PHOTOS, weights="imagenet", skipped=()):
    network = ComparedNetwork("small", weights, 10**6, 0, photos, stages)
    return Comparison(photos, ("a", "b"), 5, 0.5, (network,), skipped)


def test_the_best_is_called_the_best_where_it_is_the_quickest_of_the_ties():
    found = compared(stage("blocks.1", 250, 1.0), stage("blocks.2", 360, 2.0))
    assert found.recommended is found.best
    assert found.recommendation == (
        "`small`, cut after `blocks.2`: top-1 0.900 (0.867 to 0.926), the best; freeze all of it."
    )


def test_a_quicker_stage_that_ties_with_the_best_is_recommended_with_what_it_may_cost():
    found = compared(stage("blocks.1", 200, 1.0), stage("b", 359, 2.0), stage("c", 361, 4.0))
    assert [place.stage.name for place in found.ties] == ["c", "b"]
    assert "`small`, cut after `b`: top-1 0.897" in found.recommendation
    assert "difference -0.5 points, 95 % interval -1.3 to +0.3" in found.recommendation
    assert "at 50 % of its time; freeze up to there." in found.recommendation


def test_what_is_no_better_than_naming_the_largest_class_is_not_recommended():
    found = compared(stage("a", 205, 1.0), stage("b", 200, 2.0))
    assert found.recommendation.startswith("None: no stage is better")


def test_the_front_holds_what_nothing_beats_in_both():
    found = compared(stage("a", 200, 1.0), stage("b", 190, 2.0), stage("c", 300, 3.0))
    assert [place.stage.name for place in found.front] == ["a", "c"]


def test_with_many_stages_a_difference_must_be_clearer_to_be_called_one():
    few = compared(stage("best", 300, 9.0), stage("less", 293, 1.0))
    many = compared(
        stage("best", 300, 9.0),
        *(stage(f"s{i}", 300, 5.0) for i in range(20)),
        stage("less", 293, 1.0),
    )
    assert "less" not in [place.stage.name for place in few.ties]
    assert "less" in [place.stage.name for place in many.ties]
    assert many.recommended.stage.name == "s0"  # "less" is quicker, and worse if it stood alone


def by_definition(p_values):
    """Holm's adjusted values, each from all that are smaller."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    m = len(p_values)
    steps = [min(1.0, (m - rank) * p_values[i]) for rank, i in enumerate(order)]
    return [max(steps[: order.index(i) + 1]) for i in range(m)]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_values_are_those_of_the_paper(p_values):
    assert holm(p_values) == pytest.approx(by_definition(p_values))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_values_keep_the_order_and_are_no_smaller(p_values):
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_the_table_fits_into_100_columns_and_marks_what_counts():
    found = compared(
        stage("encoder.layers.encoder_layer_11", 250, 0.001),
        stage("b", 359, 0.002),
        stage("c", 361, 12.3456),
        skipped=(("vgg16", "no weights."),),
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
    assert text.endswith(f"Recommended: {found.recommendation}")


def test_random_weights_are_called_so():
    found = compared(stage("a", 380, 1.0), weights="none")
    assert "`small (random)`" in found.recommendation
    assert "\nsmall (random)" in str(found)


def test_json_tells_what_ties_and_what_is_on_the_front():
    found = compared(stage("a", 200, 1.0), stage("b", 359, 2.0), stage("c", 361, 4.0)).to_json()
    stages = {one["stage"]: one for one in found["models"][0]["stages"]}
    assert [name for name, one in stages.items() if one["ties_with_best"]] == ["b", "c"]
    assert [name for name, one in stages.items() if one["on_front"]] == ["a", "b", "c"]
    assert stages["b"]["difference"] == pytest.approx(-0.005)
    assert found["best"] == {"model": "small", "weights": "imagenet", "stage": "c"}
    assert found["recommended"]["stage"] == "b"
