import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from budwood.errors import PhotoError
from budwood.images import pillow
from budwood.images.headers import Header
from budwood.images.pillow import decode_with_pillow, eight_bits, rgb


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


def whole(height, width):
    return 1


def test_the_size_is_checked_before_decoding(scene, encoded):
    def refuse(height, width):
        raise PhotoError(f"{height} x {width}")

    with pytest.raises(PhotoError, match=r"^120 x 160$"):
        decode_with_pillow(encoded(scene(), "TIFF")[:-5000], Header("tiff"), refuse, whole)


def test_running_out_of_memory_is_not_blamed_on_the_photo(scene, encoded):
    def out_of_memory(height, width):
        raise MemoryError

    with pytest.raises(MemoryError):
        decode_with_pillow(encoded(scene(), "BMP"), Header("bmp"), out_of_memory, whole)


class TestLargePhotos:
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
    @pytest.mark.parametrize("reduction", [1, 4])
    def test_rows_turned_into_rgb_in_bands_are_what_they_are_at_once(self, scene, mode, reduction):
        image = scene(601, 90).convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        white = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
        assert (rgb(image, reduction) == np.asarray(flat.reduce(reduction))).all()

    def test_the_largest_leave_pillow_at_a_fraction_of_their_size(
        self, scene, encoded, monkeypatch
    ):
        monkeypatch.setattr(pillow, "LARGE", 120 * 160 - 1)
        found = decode_with_pillow(
            encoded(scene(), "PNG"), Header("png"), lambda *sides: None, lambda *sides: 4
        )
        assert (found.photo.shape, found.height, found.width) == ((30, 40, 3), 120, 160)
        assert (found.photo == np.asarray(scene().reduce(4))).all()
