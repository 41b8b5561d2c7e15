"""The chart of training curves: every line is named, and told apart without colours."""

import io
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.course.curves import HEIGHT, Curve, draw_curves, spread

CURVES = [
    Curve("plain, 20 layers", (2.0, 1.2, 0.4), False, True),
    Curve("plain, 56 layers", (2.2, 2.0, 1.8), False, False),
    Curve("residual, 20 layers", (1.9, 0.7, 0.14), True, True),
    Curve("residual, 56 layers", (2.4, 0.9, 0.12), True, False),
]


def drawn(curves):
    file = io.BytesIO()
    draw_curves(curves, 2.3, file)
    return file.getvalue().decode()


def lines(svg):
    """Classes of every line of the chart."""
    return re.findall(r'<path class="line ([^"]+)"', svg)


def test_it_is_a_whole_svg_with_every_name():
    svg = drawn(CURVES)
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    for text in [curve.label for curve in CURVES] + ["guessing"]:
        assert f">{text}</text>" in svg


def test_axes_have_titles_with_units():
    svg = drawn(CURVES)
    assert ">Epoch (passes over the photos)</text>" in svg
    assert ">Training loss (nats per photo)</text>" in svg


def test_lines_differ_in_width_and_dashes():
    styles = {"plain dashed", "plain", "residual thick dashed", "residual thick"}
    assert styles <= set(lines(drawn(CURVES)))


def test_one_epoch_can_be_drawn():
    single = [Curve(c.label, c.losses[:1], c.is_thick, c.is_dashed) for c in CURVES]
    assert ">residual, 56 layers</text>" in drawn(single)


def test_everything_is_drawn_inside_the_chart():
    svg = drawn(CURVES)
    places = [float(y) for y in re.findall(r'<text class="[^"]*" x="[\d.]+" y="([-\d.]+)"', svg)]
    assert len(places) == 6
    assert 10 < min(places) < max(places) < HEIGHT


def test_the_same_curves_are_drawn_the_same():
    assert drawn(CURVES) == drawn(CURVES)


@given(st.lists(st.floats(-10, 10), max_size=8), st.floats(0.01, 2))
def test_labels_keep_their_order_and_distance(places, apart):
    moved = spread(places, apart)
    order = sorted(range(len(places)), key=lambda i: (places[i], moved[i]))
    gaps = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert all(gap >= apart - 1e-9 for gap in gaps)
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)


def test_labels_with_room_stay_where_they_are():
    assert spread([0.0, 3.0, 1.0], 0.5) == [0.0, 3.0, 1.0]
