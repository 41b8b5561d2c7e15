from hypothesis import given
from hypothesis import strategies as st

from budwood.images.cropping import Middle, find_middle

sides = st.integers(1, 30000)


def test_ordinary_sides_are_resized_whole():
    assert find_middle(500, 341, 224) == Middle(slice(None), 341, slice(58, 282))


@given(side=sides, short=st.integers(1, 300), crop=st.integers(1, 300))
def test_long_sides_are_resized_at_the_same_scale_around_the_same_centre(side, short, crop):
    side = max(side, short)
    resized = crop * side // short
    middle = find_middle(side, resized, crop)
    kept = range(side)[middle.kept]
    assert middle.crop.stop - middle.crop.start == crop
    assert 0 <= middle.crop.start <= middle.crop.stop <= middle.resized
    assert abs((kept[0] + kept[-1]) - (side - 1)) == 0
    assert abs(middle.resized - len(kept) * resized / side) <= 1
    offset_from_centre = middle.crop.start - (middle.resized - crop) / 2
    assert abs(offset_from_centre) <= 0.5


@given(side=sides, short=st.integers(1, 300))
def test_what_is_resized_to_is_never_much_longer_than_the_crop(side, short):
    middle = find_middle(max(side, short), 224 * max(side, short) // short, 224)
    assert middle.resized <= 224 * 75
