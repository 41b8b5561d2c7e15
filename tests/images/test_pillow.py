import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import PhotoError
from budwood.images.pillow import decode_with_pillow, eight_bits


def test_16_bit_integers_span_their_type():
    assert eight_bits(np.array([[0, 257, 65535]], np.uint16)).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("span", [255, 65535])
def test_32_bit_integers_span_what_their_values_fit(span):
    assert eight_bits(np.array([[0, span]], np.int32)).tolist() == [[0, 255]]


def test_values_of_no_usual_span_are_stretched():
    assert eight_bits(np.array([[-300.0, 0.0, 300.0]])).tolist() == [[0, 128, 255]]


def test_nan_counts_as_the_darkest():
    assert eight_bits(np.array([[np.nan, 0.5, 1.0]])).tolist() == [[0, 128, 255]]


def test_infinity_is_clipped():
    assert eight_bits(np.array([[-np.inf, 0.0, 1.0, np.inf]])).tolist() == [[0, 0, 255, 255]]


def test_a_photo_without_any_number_is_refused():
    with pytest.raises(PhotoError, match="only NaN or infinity"):
        eight_bits(np.full((2, 2), np.nan))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2))
def test_brighter_stays_brighter(values):
    bits = eight_bits(np.array(values, dtype=np.float32)).astype(int)
    order = np.argsort(values, kind="stable")
    assert (np.diff(bits[order]) >= 0).all()


def test_the_size_is_checked_before_decoding(scene, encoded):
    def refuse(height, width):
        raise PhotoError(f"{height} x {width}")

    with pytest.raises(PhotoError, match=r"^120 x 160$"):
        decode_with_pillow(encoded(scene(), "TIFF")[:-5000], "tiff", refuse)


def test_running_out_of_memory_is_not_blamed_on_the_photo(scene, encoded):
    def out_of_memory(height, width):
        raise MemoryError

    with pytest.raises(MemoryError):
        decode_with_pillow(encoded(scene(), "BMP"), "bmp", out_of_memory)
