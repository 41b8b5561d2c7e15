import unicodedata

import pytest

from budwood.data.layouts import find_in_tree
from budwood.data.parts import part_of
from budwood.data.scan import grow
from budwood.errors import DataError


def find(root, **how):
    return find_in_tree(grow(root), **how)


def labels(images):
    return [image.label for image in images]


def kinds(found):
    return [note.kind for note in found.notes]


@pytest.mark.parametrize(
    ("name", "part"),
    [("train", "train"), ("Training", "train"), ("TRAINING_SET", "train"), ("val", "val"),
     ("valid", "val"), ("Validation", "val"), ("test", "test"), ("testing", "test"),
     ("Test_Set", "test"), ("dev", "val"), ("eval", "test"), ("cats", None)],
)  # fmt: skip
def test_parts_have_several_names(name, part):
    assert part_of(name) == part


def test_class_folders(class_folders):
    found = find(class_folders(cats=2, dogs=1))
    assert {part: labels(images) for part, images in found.parts.items()} == {
        "photos": ["cats", "cats", "dogs"]
    }
    assert found.notes == []


def test_photos_of_a_class_may_lie_deeper(plant):
    found = find(plant("cats/indoors/night/1.jpg", "cats/2.jpg", "dogs/1.jpg"))
    assert labels(found.parts["photos"]) == ["cats", "cats", "dogs"]


def test_parts_hold_class_folders(class_folders):
    root = class_folders(**{"training_set/cats": 3, "Validation/cats": 2, "test/dogs": 1})
    found = find(root)
    assert {part: len(images) for part, images in found.parts.items()} == {
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
    assert kinds(found) == ["not-an-image"]
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


class TestNestedFolders:
    def test_what_is_merged_is_said_with_how_to_train_on_it(self, plant):
        inner = ("animals/cats", "animals/dogs", "plants/oak", "plants/elm", "plants/ash")
        root = plant(*(f"{name}/{n}.jpg" for name in inner for n in range(2)))
        (note,) = find(root).notes
        assert note.kind == "nested"
        assert note.text == (
            "No class folder holds photos itself, only folders that do. These are not told apart: "
            "animals (cats, dogs), plants (ash, elm, oak). If these are the classes, move them up, "
            f"or list the photos in a CSV file path,label; `budwood train {root}/animals` trains "
            "on those of one."
        )

    @pytest.mark.parametrize(
        "names",
        [
            ["cats/indoors/1.jpg", "cats/2.jpg", "dogs/1.jpg"],
            ["cats/monday/1.jpg", "cats/friday/2.jpg", "dogs/monday/1.jpg"],
        ],
    )
    def test_folders_within_some_classes_are_said_quietly(self, plant, names):
        (note,) = find(plant(*names)).notes
        assert note.text.startswith("Photos of folders inside a class folder are of that class: c")

    def test_of_many_only_the_first_are_named(self, plant):
        root = plant(*(f"train/{k}/{k}{n}/1.jpg" for k in range(9) for n in range(9)))
        (note,) = find(root).notes
        assert "0 (00, 01, 02 and 6 more), 1 (" in note.text
        assert "and 6 more. If" in note.text
        assert "budwood train" not in note.text


class TestCompetitions:
    def test_photos_to_predict_are_left_out_and_said(self, class_folders, plant):
        class_folders(**{"train/cats": 2, "train/dogs": 2})
        root = plant("test/1.jpg", "test/2.jpg")
        found = find(root, is_learned=True)
        assert found.parts.keys() == {"train"}
        (note,) = found.notes
        assert (note.kind, note.file) == ("no-labels", root / "test")
        assert note.text.startswith("2 photos in this folder are in no class folders: without lab")
        assert note.text.endswith(f"`budwood predict RUN {root}/test`.")

    def test_to_judge_a_model_they_are_an_error(self, class_folders, plant):
        class_folders(**{"train/cats": 2, "train/dogs": 2})
        with pytest.raises(DataError, match=r"1 photo in .*test lie in no class folder"):
            find(plant("test/1.jpg"))

    def test_names_that_tell_the_classes_are_seen(self, plant):
        names = [f"{name}.{n}.jpg" for name in ("cat", "dog") for n in range(3)]
        with pytest.raises(DataError, match=r"begin with 'cat', 'dog': make a folder for each"):
            find(plant(*names))


class TestOwnFolders:
    def test_what_budwood_wrote_is_no_class(self, class_folders, plant):
        class_folders(cats=2, dogs=2)
        root = plant(
            "runs/a/config.json", "runs/a/result.json", "runs/a/photos.csv",
            "runs/b/config.json", "runs/b/result.json", "runs/b/more/picture.png",
            "explained/.budwood", "explained/1-cats.png",
        )  # fmt: skip
        found = find(root)
        assert set(labels(found.parts["photos"])) == {"cats", "dogs"}
        assert [(note.kind, note.file.name) for note in found.notes] == [
            ("own-folder", "explained"),
            ("own-folder", "runs"),
        ]
        assert "Budwood wrote this folder: it is no class" in found.notes[0].text

    def test_a_class_folder_into_which_a_run_went_stays_a_class(self, class_folders, plant):
        class_folders(cats=2, dogs=2)
        found = find(plant("cats/config.json", "cats/result.json"))
        assert set(labels(found.parts["photos"])) == {"cats", "dogs"}

    def test_the_list_of_a_run_is_not_offered(self, plant):
        with pytest.raises(DataError, match="Make a folder for each class"):
            find(plant("a.jpg", "b.jpg", "photos.csv", "result.json"))


class TestManyOfAKind:
    def test_more_than_a_few_are_one_note(self, class_folders, plant):
        class_folders(**{"train/cats": 2, "test/cats": 1})
        found = find(plant(*(f"train/{n}/" for n in range(9)), *(f".{n}/" for n in range(9))))
        texts = {note.kind: note.text for note in found.notes}
        assert len(found.notes) == 2
        assert texts["empty-class"].startswith("9 class folders hold no photo and are ignored: ")
        assert texts["empty-class"].endswith("and 6 more.")
        assert texts["hidden"].startswith("9 hidden files and folders are ignored: ")

    def test_so_are_folders_beside_the_parts_and_those_that_budwood_wrote(
        self, class_folders, plant
    ):
        others = {f"other{n}": 1 for n in range(7)}
        class_folders(**{"train/cats": 2, "test/cats": 1}, **others)
        found = find(plant(*(f"e{n}/.budwood" for n in range(7))))
        texts = {note.kind: note.text for note in found.notes}
        assert len(found.notes) == 2
        assert texts["not-a-split"].startswith("Photos in 7 folders are not used: they are none of")
        assert texts["own-folder"].startswith("7 folders that Budwood wrote are no classes")


def test_blanks_around_names_of_class_folders_are_said(plant):
    found = find(plant("roses /1.jpg", "tulips/1.jpg"))
    assert labels(found.parts["photos"]) == ["roses", "tulips"]
    assert [note.text for note in found.notes] == [
        "Blanks around the names of classes are not part of them: 'roses '."
    ]
