import pytest

from budwood.errors import ImageError
from budwood.images.contents import digest, read


def test_read_gives_the_bytes_of_the_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"bytes")
    assert read(tmp_path / "a.jpg") == b"bytes"


def test_a_vanished_photo_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"no such file.*Check that the file is there") as caught:
        read(tmp_path / "gone.jpg")
    assert caught.value.file == str(tmp_path / "gone.jpg")


def test_a_folder_called_like_a_photo_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"cannot be read: is a directory|permission denied"):
        read(tmp_path)


def test_the_digest_has_16_bytes_and_changes_with_any_byte():
    assert len(digest(b"photo")) == 16
    assert digest(b"photo") == digest(b"photo") != digest(b"photp")
