import unicodedata

import pytest

from budwood.errors import DataError
from budwood.images.layouts import find_in_tree, part_of
from budwood.images.trees import grow


def find(root):
    return find_in_tree(grow(root))


def labels(photos):
    return [photo.label for photo in photos]


def kinds(found):
    return [note.kind for note in found.notes]


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", "train"), ("Training", "train"), ("TRAINING_SET", "train"), ("val", "val"),
     ("valid", "val"), ("Validation", "val"), ("test", "test"), ("testing", "test"),
     ("Test_Set", "test"), ("cats", None)],
)  # fmt: skip
def test_parts_have_several_names(name, part):
    assert part_of(name) == part


def test_class_folders(class_folders):
    found = find(class_folders(cats=2, dogs=1))
    assert {part: labels(photos) for part, photos in found.parts.items()} == {
        "photos": ["cats", "cats", "dogs"]
    }
    assert found.notes == ()


def test_photos_of_a_class_may_lie_deeper(plant):
    found = find(plant("cats/indoors/night/1.jpg", "cats/2.jpg", "dogs/1.jpg"))
    assert labels(found.parts["photos"]) == ["cats", "cats", "dogs"]


def test_parts_hold_class_folders(class_folders):
    root = class_folders(**{"training_set/cats": 3, "Validation/cats": 2, "test/dogs": 1})
    found = find(root)
    assert {part: len(photos) for part, photos in found.parts.items()} == {
        "train": 3,
        "val": 2,
        "test": 1,
    }


def test_a_class_may_be_called_train(class_folders):
    found = find(class_folders(bus=2, train=3))
    assert labels(found.parts["photos"]) == ["bus"] * 2 + ["train"] * 3


def test_folders_beside_the_parts_are_not_used_and_said(class_folders):
    found = find(class_folders(**{"train/cats": 2, "test/cats": 2, "extra": 3}))
    assert set(found.parts) == {"train", "test"}
    assert kinds(found) == ["not-a-split"]
    assert "3 photos in this folder are not used" in found.notes[0].text


def test_an_empty_part_is_said(class_folders, plant):
    class_folders(**{"train/cats": 2, "val/cats": 2})
    found = find(plant("test/"))
    assert [(note.kind, note.file.name) for note in found.notes] == [("empty-class", "test")]


def test_empty_class_folders_are_no_classes_and_said_once(class_folders, plant):
    class_folders(cats=2)
    found = find(plant("dogs/", "owls/notes.txt"))
    assert labels(found.parts["photos"]) == ["cats", "cats"]
    empty = [note.file.name for note in found.notes if note.kind == "empty-class"]
    assert empty == ["dogs", "owls"]


def test_hidden_folders_and_files_are_said_once_each(class_folders, plant):
    class_folders(cats=2)
    found = find(plant(".git/x.jpg", "__MACOSX/y.jpg", "cats/._1.jpg", "dogs/.a", "dogs/.b"))
    hidden = [(note.file.name, note.text) for note in found.notes if note.kind == "hidden"]
    assert [name for name, _ in hidden] == [".git", "__MACOSX", "._1.jpg", "dogs"]
    assert hidden[-1][1] == "2 hidden files are ignored: .a, .b."


def test_files_that_are_no_photos_are_counted_in_one_note(class_folders, plant):
    class_folders(cats=2, dogs=2)
    found = find(plant("cats/Thumbs.db", "dogs/notes.txt", "README", "dogs/a.heic", "dogs/b.HEIC"))
    assert kinds(found) == ["not-a-photo"]
    assert "Ignored 5 files" in found.notes[0].text
    assert "Save the 2 HEIC or AVIF photos as JPEG" in found.notes[0].text


def test_photos_beside_the_class_folders_are_said(class_folders, plant):
    class_folders(cats=2)
    found = find(plant("loose.jpg"))
    assert kinds(found) == ["no-class"]
    assert "1 photo beside the folders have no class: loose.jpg" in found.notes[0].text


def test_names_that_a_mac_decomposes_are_the_same_class(plant):
    name = "Gänseblümchen"
    root = plant(f"{unicodedata.normalize('NFD', name)}/菊.jpg", "ромашка/1.jpg")
    assert set(labels(find(root).parts["photos"])) == {name, "ромашка"}


def test_no_photos_at_all_is_an_error(plant):
    root = plant("cats/notes.txt")
    with pytest.raises(DataError, match=r"no photos in.*One folder a class") as caught:
        find(root)
    assert caught.value.file == str(root)


def test_photos_without_class_folders_are_an_error(plant):
    with pytest.raises(DataError, match=r"2 photos in .* lie in no class folder.*Make a folder"):
        find(plant("a.jpg", "b.jpg"))


def test_photos_beside_a_list_point_at_the_list(plant):
    with pytest.raises(DataError, match=r"If labels\.csv lists their classes, name that file"):
        find(plant("a.jpg", "b.jpg", "labels.csv"))


def test_a_part_without_class_folders_is_an_error(class_folders, plant):
    class_folders(**{"train/cats": 2, "train/dogs": 2})
    with pytest.raises(DataError, match=r"1 photo in .*test lie in no class folder"):
        find(plant("test/1.jpg"))


def test_two_folders_of_one_part_are_an_error(class_folders):
    root = class_folders(**{"train/cats": 2, "training/cats": 2})
    with pytest.raises(DataError, match=r"Both 'train' and 'training'.*Merge them or rename one"):
        find(root)
