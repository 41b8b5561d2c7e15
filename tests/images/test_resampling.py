import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.images.preprocessing import Side, resample

sides = st.integers(1, 30000)


@given(side=sides, short=st.integers(1, 300), crop=st.integers(1, 300), reach=st.integers(1, 3))
def test_no_more_is_seen_than_the_crop_and_the_filter_need(side, short, crop, reach):
    side = max(side, short)
    one = Side(side, side, crop * side // short, crop)
    seen = range(side)[one.seen(reach)]
    assert len(seen) <= crop * one.scale + 2 * reach * max(1, one.scale) + 6
    assert seen.start <= one.start
    assert seen.stop >= min(side, one.start + crop * one.scale) - 1e-6


@given(side=sides, short=st.integers(1, 300), crop=st.integers(1, 300))
def test_the_crop_lies_in_the_middle(side, short, crop):
    side = max(side, short)
    one = Side(side, side, crop * side // short, crop)
    middle = one.start + crop * one.scale / 2
    assert abs(middle - side / 2) <= 0.5 * one.scale + 1e-6
    picked = one.nearest()
    assert len(picked) == crop
    assert 0 <= picked[0] <= picked[-1] < side
    assert (np.diff(picked) >= 0).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_pixels_just_outside_of_the_crop_count_at_its_border(interpolation):
    image = np.zeros((1, 80, 1), np.uint8)
    image[:, :20] = 255  # the crop begins here
    side = Side(80, 80, 20, 10)
    assert side.start == 20
    line = resample(image, Side(1, 1, 1, 1), side, interpolation).ravel()
    assert line[0] > 10
    assert (line[4:] == 0).all()
