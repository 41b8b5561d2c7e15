import numpy as np
import pytest
from PIL import Image

from budwood.errors import ImageError
from budwood.images import pillow
from budwood.images.formats import Header
from budwood.images.pillow import decode_with_pillow, rgb


def whole(height, width):
    return 1


def test_the_size_is_checked_before_decoding(scene, encoded, monkeypatch):
    def refuse(height, width):
        raise ImageError(f"{height} x {width}")

    monkeypatch.setattr(pillow, "check_size", refuse)
    with pytest.raises(ImageError, match=r"^120 x 160$"):
        decode_with_pillow(encoded(scene(), "TIFF")[:-5000], Header("tiff"), whole)


def test_running_out_of_memory_is_not_blamed_on_the_photo(scene, encoded, monkeypatch):
    def out_of_memory(height, width):
        raise MemoryError

    monkeypatch.setattr(pillow, "check_size", out_of_memory)
    with pytest.raises(MemoryError):
        decode_with_pillow(encoded(scene(), "BMP"), Header("bmp"), whole)


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
        found = decode_with_pillow(encoded(scene(), "PNG"), Header("png"), lambda *sides: 4)
        assert (found.image.shape, found.height, found.width) == ((30, 40, 3), 120, 160)
        assert (found.image == np.asarray(scene().reduce(4))).all()
