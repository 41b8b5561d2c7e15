import pytest

from budwood.errors import PhotoError
from budwood.images.pillow import decode_with_pillow


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
