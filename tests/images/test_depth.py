"""Black and white of samples of more than 8 bits, once they are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import ConfigError, ImageError
from budwood.images.depth import Depth, eight_bits
from budwood.images.preprocessing import Preprocessing

USUAL = Preprocessing(size=(8, 8), resize=8, mean=(0.5,), std=(0.5,))


def test_16_bit_integers_span_their_type_where_nothing_else_is_known():
    values = np.array([[0, 257, 65535]], np.uint16)
    assert Depth().levels(values, "uint16").tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("kind", ["uint16", "int16", "int32", "uint32"])
def test_the_ends_of_a_type_are_black_and_white(kind):
    ends = np.iinfo(kind)
    assert Depth().levels(np.array([ends.min, ends.max], kind), kind).tolist() == [0, 255]


def test_values_beyond_black_and_white_are_clipped():
    depth = Depth({"int16": (-1000, 3000)})
    values = np.array([-1500, -1000, 1000, 3000, 9000], np.int16)
    assert depth.levels(values, "int16").tolist() == [0, 0, 128, 255, 255]


def test_what_is_no_number_is_black_and_infinity_is_clipped():
    values = np.array([-np.inf, np.nan, 0.5, np.inf], np.float32)
    assert eight_bits(values, -0.5, 1).tolist() == [0, 0, 170, 255]


def test_a_photo_without_any_number_is_refused():
    with pytest.raises(ImageError, match="only NaN or infinity"):
        eight_bits(np.full((2, 2), np.nan), 0, 1)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2))
def test_brighter_stays_brighter(values):
    bits = eight_bits(np.array(values, dtype=np.float32), -1000, 1e5).astype(int)
    order = np.argsort(values, kind="stable")
    assert (np.diff(bits[order]) >= 0).all()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match=r"'uint8'\. There are uint12"):
        Depth({"uint8": (0, 255)})


@pytest.mark.parametrize("span", [(3, 3), (5, 2), (0, float("nan")), (1,)])
def test_an_empty_range_is_refused(span):
    with pytest.raises(ConfigError, match="black below white"):
        Depth({"float": span})


def test_depths_of_equal_ranges_are_equal():
    first, second = {"float": (0, 2), "uint16": (0, 4095)}, {"uint16": [0, 4095], "float": (0, 2)}
    assert Depth(first) == Depth(second)
    assert hash(Depth(first)) == hash(Depth(second))
    assert Depth(first) != Depth()


class TestInAPreprocessing:
    def test_it_comes_back_from_json(self):
        deep = Preprocessing(
            size=(8, 8), resize=8, mean=(0.5,), std=(0.5,), depth=Depth({"uint16": (0, 4095)})
        )
        assert deep.to_json()["depth"] == {"uint16": [0, 4095]}
        assert Preprocessing.from_json(deep.to_json()) == deep
        assert str(deep).endswith(", uint16 from 0 to 4095")

    def test_without_deep_photos_nothing_is_said_of_it(self):
        """Rows and capsules of before there were depths are found and read."""
        assert set(USUAL.to_json()) == {"size", "resize", "interpolation", "mean", "std"}
        assert Preprocessing.from_json(USUAL.to_json()).depth == Depth()

    def test_it_stays_at_another_size(self):
        deep = Preprocessing(
            size=(8, 8), resize=8, mean=(0.5,), std=(0.5,), depth=Depth({"float": (0, 9)})
        )
        assert deep.at_size(16).depth == deep.depth
