import os

import pytest

from budwood.data.scan import grow
from budwood.errors import DataError
from budwood.images.formats import is_image_name


@pytest.mark.parametrize(
    "suffix", ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "JPG"]
)
def test_photos_are_known_by_their_names(suffix):
    assert is_image_name(f"a.{suffix}")


@pytest.mark.parametrize("name", ["Thumbs.db", "notes.txt", "jpg", "a.jpg.part", "a.heic"])
def test_other_files_are_no_photos(name):
    assert not is_image_name(name)


def test_photos_lie_in_nested_folders(plant):
    tree = grow(plant("b/2.jpg", "b/c/1.jpg", "a.jpg", "b/notes.txt"))
    names = [image.relative_to(tree.path).as_posix() for image in tree.all_images()]
    assert names == ["a.jpg", "b/2.jpg", "b/c/1.jpg"]
    assert tree.num_images == 3
    assert [path.name for path in tree.folders[0].others] == ["notes.txt"]


def test_the_order_is_that_of_posix_paths(plant):
    tree = grow(plant("a b/1.jpg", "a/1.jpg", "a.jpg", "B.jpg", "a/10.jpg", "a/9.jpg", "é.jpg"))
    names = [image.relative_to(tree.path).as_posix() for image in tree.all_images()]
    assert names == sorted(names)


@pytest.mark.parametrize("name", [".git", "__MACOSX", "@eaDir", "@EADIR"])
def test_hidden_folders_are_kept_apart_unread(plant, name):
    tree = grow(plant(f"{name}/a.jpg", "b.jpg"))
    assert tree.num_images == 1
    assert [path.name for path in tree.hidden_folders] == [name]


def test_hidden_files_are_kept_apart(plant):
    tree = grow(plant("._a.jpg", ".DS_Store", "a.jpg"))
    assert {path.name for path in tree.hidden_files} == {"._a.jpg", ".DS_Store"}
    assert tree.num_images == 1


def test_linked_folders_are_followed(plant):
    root = plant("cats/1.jpg")
    link(root / "felines", plant("2.jpg", root="elsewhere"))
    assert grow(root).num_images == 2


def test_links_back_up_end(plant):
    root = plant("cats/1.jpg")
    link(root / "cats" / "again", root)
    link(root / "cats" / "self", root / "cats")
    assert grow(root).num_images == 1


def test_a_link_that_leads_nowhere_is_a_photo_that_cannot_be_read(plant):
    root = plant("1.jpg")
    link(root / "2.jpg", root / "gone.jpg")
    assert grow(root).num_images == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes")
def test_a_pipe_is_no_photo_whatever_its_name(plant):
    root = plant("1.jpg")
    os.mkfifo(root / "2.jpg")
    assert grow(root).num_images == 1


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read.*Check that you may read it") as caught:
        grow(tmp_path / "gone")
    assert caught.value.file == str(tmp_path / "gone")


def link(path, target):
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("links may not be made here")
