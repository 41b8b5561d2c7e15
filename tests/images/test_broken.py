from pathlib import Path

import pytest

from budwood.data.folder import leave_out_unreadable, load_folder, unreadable_lines
from budwood.errors import DataError


@pytest.fixture
def images(class_folders):
    root = class_folders(**{"train/cats": 8, "train/dogs": 8, "val/cats": 4, "val/dogs": 4,
                            "test/cats": 4, "test/dogs": 4})  # fmt: skip
    return load_folder(root)


def some(split, label, number):
    paths = [path for path, known in zip(split.paths, split.labels, strict=True) if known == label]
    return dict.fromkeys(paths[:number], "The photo is empty.")


def test_broken_photos_are_left_out_of_their_splits(images):
    broken = some(images.train, 0, 2) | some(images.test, 1, 1)
    rest = leave_out_unreadable(images, broken)
    assert (len(rest.train), len(rest.val), len(rest.test)) == (14, 8, 7)
    assert not broken.keys() & {*rest.train.paths, *rest.val.paths, *rest.test.paths}


def test_each_is_named_with_its_reason(images):
    broken = some(images.train, 0, 2)
    notes = leave_out_unreadable(images, broken).notes[len(images.notes) :]
    assert [(note.kind, note.file) for note in notes] == [("unreadable", path) for path in broken]
    assert str(notes[0]).endswith("train/cats/000.jpg: Left out: The photo is empty.")


def test_of_many_one_note_is_said_and_each_is_kept(class_folders):
    images = load_folder(
        class_folders("in {braces}", **{"train/cats": 40, "train/dogs": 40, "test/cats": 1})
    )
    few = leave_out_unreadable(images, some(images.train, 0, 5))
    assert unreadable_lines(images, few) == list(few.notes[-5:])
    left = leave_out_unreadable(images, some(images.train, 0, 9))
    assert [note.kind for note in left.notes[-9:]] == ["unreadable"] * 9
    (note,) = unreadable_lines(images, left)
    assert note.text.startswith("9 photos cannot be read and are left out: ")
    assert note.text.endswith(f"and 6 more. `budwood audit '{images.root}'` says why.")


def test_nothing_broken_changes_nothing(images):
    assert leave_out_unreadable(images, {}, strict=True) is images


def test_a_folder_without_val_and_test_stays_without(class_folders):
    images = load_folder(class_folders("single", cats=1, dogs=5), test_fraction=0.2)
    rest = leave_out_unreadable(images, some(images.train, 1, 1))
    assert rest.val is None
    assert rest.classes == images.classes


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_more_than_a_quarter_of_a_class_is_an_error(images, part):
    split = getattr(images, part)
    quarter = len(split) // 8
    assert len(leave_out_unreadable(images, some(split, 1, quarter)).notes) == quarter
    reason = (
        rf"{quarter + 1} of {quarter * 4} {part} photos of class 'dogs' cannot be read: .*000.jpg"
    )
    with pytest.raises(DataError, match=reason + ".*Copy the photos again") as caught:
        leave_out_unreadable(images, some(split, 1, quarter + 1))
    assert caught.value.file == str(images.root)


def test_a_class_must_keep_a_training_photo(images):
    with pytest.raises(DataError, match=r"'cats' has no readable train photo left.*and 3 more"):
        leave_out_unreadable(images, some(images.train, 0, 8))


def test_strict_allows_none_and_names_the_first_five(images):
    broken = some(images.train, 0, 7)
    with pytest.raises(
        DataError, match=r"7 photos cannot be read: .*004\.jpg.*and 2 more.*--strict"
    ):
        leave_out_unreadable(images, broken, strict=True)


def test_strict_minds_broken_photos_only(plant, class_folders):
    plant("cats/.hidden.jpg", "cats/notes.txt", "empty/")
    images = load_folder(class_folders(cats=5, dogs=5))
    assert {"hidden", "not-an-image", "empty-class"} <= {note.kind for note in images.notes}
    assert leave_out_unreadable(images, {}, strict=True) == images


def test_a_photo_of_no_split_is_named_all_the_same(images):
    rest = leave_out_unreadable(images, {Path("elsewhere.jpg"): "The photo is empty."})
    assert rest.notes[-1].file == Path("elsewhere.jpg")
