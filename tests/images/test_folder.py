import random
import unicodedata

import numpy as np
import pytest

from budwood.data.folder import load_folder, load_test
from budwood.errors import ConfigError, DataError


def names(split):
    return [path.name for path in split.paths]


def texts(folder, kind):
    return [note.text for note in folder.notes if note.kind == kind]


class TestGivenParts:
    def test_train_val_and_test_are_what_they_are_called(self, class_folders):
        folder = load_folder(
            class_folders(**{f"{part}/{name}": number for part, number in
                             (("train", 4), ("val", 2), ("test", 3)) for name in ("cats", "dogs")})
        )  # fmt: skip
        assert (len(folder.train), len(folder.val), len(folder.test)) == (8, 4, 6)
        assert [split.name for split in (folder.train, folder.val, folder.test)] == [
            "train", "val", "test"]  # fmt: skip
        assert folder.notes == ()

    def test_val_without_test_is_the_test_set(self, class_folders):
        folder = load_folder(
            class_folders(**{"train/a": 4, "train/b": 4, "valid/a": 1, "valid/b": 2})
        )
        assert folder.val is None
        assert (folder.test.name, len(folder.test)) == ("test", 3)
        assert texts(folder, "split") == [
            "There is no test part: val (3 photos) is the test set and steers nothing."
        ]

    def test_training_fixes_classes_in_the_order_of_sorted(self, class_folders):
        root = class_folders(class10=2, class2=2, Zebra=2, ähre=2)
        folder = load_folder(root)
        assert folder.classes == ("Zebra", "class10", "class2", "ähre")
        assert folder.test.classes == folder.train.classes == folder.classes

    def test_other_parts_are_matched_by_name(self, class_folders):
        root = class_folders(**{"train/a": 3, "train/b": 3, "train/c": 3, "test/b": 2, "test/d": 5})
        folder = load_folder(root)
        assert folder.test.counts() == {"a": 0, "b": 2, "c": 0}
        assert texts(folder, "missing-class") == [
            "The test part has no photo of class 'a'.",
            "The test part has no photo of class 'c'.",
        ]
        assert texts(folder, "extra-class") == [
            "The test part has 5 photos of class 'd', which training lacks: left out."
        ]

    def test_many_classes_that_differ_are_one_note_each_way(self, class_folders):
        train = {f"train/a{n}": 1 for n in range(7)}
        test = {f"test/b{n}": 2 for n in range(7)}
        folder = load_folder(class_folders(**train, **test, **{"train/c": 2, "test/c": 2}))
        assert texts(folder, "missing-class") == [
            "The test part has no photo of 7 classes: 'a0', 'a1', 'a2' and 4 more."
        ]
        assert texts(folder, "extra-class") == [
            "The test part has 14 photos of 7 classes that training lacks: left out. They are "
            "'b0' (2), 'b1' (2), 'b2' (2) and 4 more."
        ]

    def test_a_class_written_otherwise_is_recognised(self, class_folders):
        folder = load_folder(
            class_folders(**{"train/Roses": 2, "train/b": 2, "test/roses": 2, "test/b": 1})
        )
        (text,) = texts(folder, "extra-class")
        assert text.endswith("left out. Is it 'Roses'?")

    def test_classes_alike_are_said(self, class_folders):
        folder = load_folder(class_folders(Cat=5, cat=5, unknown=5), test_fraction=None)
        assert "'Cat' (5), 'cat' (5)" in texts(folder, "names-alike")[0]
        assert "A class is called 'unknown'" in texts(folder, "name-taken")[0]

    def test_photos_to_predict_beside_train_leave_a_part_of_train_to_test(
        self, class_folders, plant
    ):
        class_folders(**{"train/a": 5, "train/b": 5})
        root = plant("test/1.jpg", "test/2.jpg")
        folder = load_folder(root)
        assert (len(folder.train), len(folder.test), folder.has_own_test) == (8, 2, False)
        assert "2 photos in this folder are in no class folders" in texts(folder, "no-labels")[0]
        with pytest.raises(DataError, match=r"2 photos in .*test lie in no class folder"):
            load_test(root, ("a", "b"))

    def test_a_list_gives_parts_too(self, write_list):
        rows = ["a.jpg,x,train", "b.jpg,y,train", "c.jpg,x,testing", "d.jpg,y,testing"]
        folder = load_folder(write_list("\n".join(["path,label,split", *rows])))
        assert names(folder.train) == ["a.jpg", "b.jpg"]
        assert folder.test.labels == (0, 1)

    def test_groups_in_several_parts_are_said(self, write_list):
        rows = ["a.jpg,x,train,g", "b.jpg,y,train,h", "c.jpg,x,test,g", "d.jpg,y,test,i"]
        folder = load_folder(write_list("\n".join(["path,label,split,group", *rows])))
        assert texts(folder, "group-leakage") == [
            "Photos of 1 group lie in more than one part, which flatters results: g."
        ]


class TestPartsSetAside:
    def test_without_parts_a_stratified_test_part_is_made_and_said(self, class_folders):
        folder = load_folder(class_folders(a=20, b=10), test_fraction=0.3, seed=5)
        assert folder.train.counts() == {"a": 14, "b": 7}
        assert folder.test.counts() == {"a": 6, "b": 3}
        assert texts(folder, "split") == [
            "There is no test part: 9 photos of 30 are set aside for testing, "
            "21 are for training (fraction 0.3, seed 5)."
        ]

    def test_the_parts_hold_every_photo_once_and_stay_in_order(self, class_folders):
        root = class_folders(a=20, b=10)
        folder = load_folder(root, val=0.2)
        parts = [folder.train.paths, folder.val.paths, folder.test.paths]
        assert sorted(path for part in parts for path in part) == sorted(root.rglob("*.jpg"))
        assert all(list(part) == sorted(part) for part in parts)

    def test_the_same_seed_makes_the_same_parts(self, class_folders):
        root = class_folders(a=20, b=10)
        assert load_folder(root, seed=3) == load_folder(root, seed=3)
        assert load_folder(root, seed=3).test != load_folder(root, seed=4).test

    def test_the_order_files_were_made_in_does_not_matter(self, plant):
        files = [f"{label}/{number}.jpg" for label in "ab" for number in range(20)]
        one = load_folder(plant(*files))
        other = load_folder(plant(*random.Random(0).sample(files, len(files)), root="shuffled"))
        assert names(one.test) == names(other.test)

    def test_val_is_a_stratified_part_of_train(self, class_folders):
        root = class_folders(**{"train/a": 20, "train/b": 10, "test/a": 2, "test/b": 2})
        folder = load_folder(root, val=0.2)
        assert folder.val.counts() == {"a": 4, "b": 2}
        assert folder.train.counts() == {"a": 16, "b": 8}
        assert "6 training photos are set aside for early stopping" in texts(folder, "split")[0]

    def test_a_folders_own_val_is_used(self, class_folders):
        root = class_folders(**{f"{part}/{name}": 2 for part in ("train", "val", "test")
                                for name in "ab"})  # fmt: skip
        folder = load_folder(root, val=0.5)
        assert (len(folder.train), len(folder.val)) == (4, 4)
        assert texts(folder, "split") == [
            "The val part is used; a fraction of 0.5 is not set aside."
        ]

    def test_a_single_photo_trains_and_that_is_said(self, class_folders):
        folder = load_folder(class_folders(a=5, b=1))
        assert folder.train.counts() == {"a": 4, "b": 1}
        assert texts(folder, "small-class") == [
            "Class 'b' cannot be divided (1 photo): it trains, and nothing tests it."
        ]

    def test_if_nothing_can_be_set_aside_there_is_no_test_set(self, class_folders):
        folder = load_folder(class_folders(a=1, b=1))
        assert folder.test is None
        assert len(texts(folder, "small-class")) == 2
        assert texts(folder, "split") == [
            "There is no test part: 0 photos of 2 can be set aside for testing, because each class "
            "is one photo, or photos that belong together. Add photos taken on other occasions, or "
            "name a test set with --test."
        ]

    def test_a_class_of_one_picture_cannot_be_divided_and_why_is_said(self, class_folders):
        root = class_folders(a=7, b=7)
        for path in root.rglob("a/*.jpg"):
            path.write_text("the same")
        assert texts(load_folder(root), "small-class") == [
            "Class 'a' cannot be divided (7 photos, which all belong together): it trains, and "
            "nothing tests it."
        ]

    def test_a_class_whose_groups_reach_into_another_says_so(self, write_list):
        rows = ["a.jpg,x,1", "b.jpg,x,2", "c.jpg,y,1", "d.jpg,z,2"]
        folder = load_folder(write_list("\n".join(["path,label,group", *rows])))
        assert texts(folder, "small-class")[0] == (
            "Class 'x' cannot be divided (2 photos in 2 groups that reach into other classes or "
            "are too large): it trains, and nothing tests it."
        )

    def test_of_many_small_classes_one_note_names_the_first(self, class_folders):
        folder = load_folder(class_folders(big=4, **{f"k{n}": 1 for n in range(8)}))
        (note,) = [note for note in folder.notes if note.kind == "small-class"]
        assert note.text == (
            "8 classes cannot be divided: they train, and nothing tests them. They are "
            "'k0' (1 photo), 'k1' (1 photo), 'k2' (1 photo) and 5 more."
        )
        assert note.about == tuple(f"k{n}" for n in range(8))

    def test_groups_stay_on_one_side(self, plant, write_list):
        plant(*(f"{n}.jpg" for n in range(40)))
        rows = [f"{n}.jpg,{'xy'[n % 2]},burst{n // 4}" for n in range(40)]
        folder = load_folder(write_list("\n".join(["path,label,group", *rows])), test_fraction=0.3)
        bursts = [
            {int(path.stem) // 4 for path in part.paths} for part in (folder.train, folder.test)
        ]
        assert not bursts[0] & bursts[1]
        assert len(folder.test) == 12
        assert not texts(folder, "group-leakage")

    def test_groups_may_be_in_another_column(self, plant, write_list):
        plant(*(f"{n}.jpg" for n in range(40)))
        rows = [f"{n}.jpg,{'xy'[n % 2]},{n},dog{n // 4}" for n in range(40)]
        file = write_list("\n".join(["path,label,group,animal", *rows]))
        folder = load_folder(file, test_fraction=0.3, group="animal")
        animals = [{int(p.stem) // 4 for p in part.paths} for part in (folder.train, folder.test)]
        assert not animals[0] & animals[1]
        assert load_test(file, ("x", "y"), "animal")[0].counts() == {"x": 20, "y": 20}

    def test_a_folder_has_no_column_of_groups(self, class_folders):
        with pytest.raises(ConfigError, match=r"no column 'animal'.*Groups are for CSV lists"):
            load_folder(class_folders(a=5, b=5), group="animal")

    def test_equal_files_stay_on_one_side_and_that_is_said(self, class_folders):
        root = class_folders(a=20, b=20)
        for n in range(6):
            (root / "a" / f"{n:03}.jpg").write_text("the same")
        for seed in range(5):
            folder = load_folder(root, test_fraction=0.5, seed=seed)
            same = {f"{n:03}.jpg" for n in range(6)}
            sides = [{p.name for p in part.paths if p.parent.name == "a"} & same
                     for part in (folder.train, folder.test)]  # fmt: skip
            assert sorted(map(len, sides)) == [0, 6]
            assert folder.test.counts() == {"a": 10, "b": 10}
        assert texts(folder, "groups") == [
            "Kept together wherever photos are held out: 6 photos (6 equal files)."
        ]

    def test_equal_files_of_two_groups_join_these(self, plant, write_list):
        plant(*(f"{n}.jpg" for n in range(12)))
        rows = [f"{n}.jpg,{'xy'[n % 2]},g{n // 4}" for n in range(12)]
        file = write_list("\n".join(["path,label,group", *rows]))
        for n in (1, 7):
            (file.parent / f"{n}.jpg").write_text("the same")
        for seed in range(5):
            folder = load_folder(file, test_fraction=0.4, seed=seed)
            test = {int(path.stem) // 4 for path in folder.test.paths} if folder.test else set()
            assert test in ({2}, {0, 1}, set())

    def test_copies_are_found_in_given_parts_too_and_those_in_two_are_reported(self, class_folders):
        root = class_folders(**{"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2})
        for path in root.rglob("train/*/*.jpg"):
            path.write_text(f"the same {path.parent.name} {int(path.stem) // 2}")
        (root / "test" / "a" / "000.jpg").write_text("the same a 1")
        folder = load_folder(root)
        train, test = folder.train.groups, folder.test.groups
        assert all(train[i] == train[i + 1] for i in (0, 2, 4, 6))
        assert (len(set(train)), len(set(test))) == (4, 4)
        assert set(train) & set(test) == {test[0]} == {train[2]}
        assert texts(folder, "groups") == [
            "Kept together wherever photos are held out: 9 photos (9 equal files)."
        ]
        (torn,) = texts(folder, "group-leakage")
        assert "Photos of 1 group lie in more than one part" in torn
        assert load_folder(root, find_groups=False).train.groups is None

    def test_splits_less_some_photos_keep_the_groups_of_the_others(self, class_folders):
        root = class_folders(a=4, b=4)
        for path in root.rglob("*.jpg"):
            path.write_text(f"the same {path.parent.name} {int(path.stem) // 2}")
        train = load_folder(root, test_fraction=None).train
        left = train.without([train.paths[1]])
        assert left.groups == (train.groups[0], *train.groups[2:])
        np.testing.assert_array_equal(left.group_numbers, left.groups)

    def test_too_many_bytes_to_look_for_copies_are_said(self, class_folders, monkeypatch):
        monkeypatch.setattr("budwood.data.duplicates.MOST_IMAGES", 5)
        (note,) = texts(load_folder(class_folders(a=5, b=5)), "groups")
        assert "too many or too large" in note

    def test_no_test_part_is_made_where_none_is_asked_for(self, class_folders):
        folder = load_folder(class_folders(a=5, b=5), test_fraction=None)
        assert folder.test is None
        assert len(folder.train) == 10
        assert folder.notes == ()

    @pytest.mark.parametrize("val", [-0.1, 1.0, 5])
    def test_an_impossible_fraction_is_refused(self, class_folders, val):
        with pytest.raises(ConfigError, match="val must be 0 or lie between 0 and 1"):
            load_folder(class_folders(a=5, b=5), val=val)


class TestTestSetElsewhere:
    def test_another_folder_is_the_test_set(self, class_folders):
        root = class_folders(a=4, b=4)
        folder = load_folder(root, test=class_folders("other", a=2, b=1))
        assert (len(folder.train), folder.test.counts()) == (8, {"a": 2, "b": 1})
        assert folder.notes == ()

    @pytest.mark.parametrize("part", ["test", "val", "train"])
    def test_it_may_hold_one_part(self, class_folders, part):
        other = class_folders("other", **{f"{part}/a": 2, f"{part}/b": 1})
        folder = load_folder(class_folders(a=4, b=4), test=other)
        assert folder.test.counts() == {"a": 2, "b": 1}

    def test_val_then_steers_early_stopping(self, class_folders):
        root = class_folders(**{"train/a": 3, "train/b": 3, "val/a": 1, "val/b": 1})
        folder = load_folder(root, test=class_folders("other", a=2, b=1))
        assert (len(folder.val), len(folder.test)) == (2, 3)

    def test_a_test_part_that_is_not_used_is_said(self, class_folders):
        root = class_folders(**{"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1})
        folder = load_folder(root, test=class_folders("other", a=2, b=1))
        assert "Its own test part (2 photos) is not used" in texts(folder, "split")[0]

    def test_what_was_ignored_there_is_said(self, class_folders, plant):
        other = class_folders("other", a=2)
        plant("a/notes.txt", root="other")
        folder = load_folder(class_folders(a=4, b=4), test=other)
        assert [note.kind for note in folder.notes] == ["not-an-image", "missing-class"]

    def test_none_of_the_classes_is_an_error(self, class_folders):
        other = class_folders("other", c=2)
        with pytest.raises(
            DataError, match=r"none of the classes: it has c\..*Name the class"
        ) as e:
            load_folder(class_folders(a=4, b=4), test=other)
        assert e.value.file == str(other)

    def test_training_photos_cannot_be_tested_on(self, class_folders):
        root = class_folders(**{"a": 4, "b": 4, "held/a": 2})
        with pytest.raises(DataError, match=r"2 photos of the test set .*Move the test set out"):
            load_folder(root, test=root / "held")


class TestWhatIsNoFolderOfPhotos:
    def test_a_missing_folder_names_its_nearest_neighbour(self, class_folders):
        root = class_folders("flowers", a=1)
        with pytest.raises(DataError, match=r"There is no folder .*Did you mean .*flowers\?") as e:
            load_folder(root.with_name("flower"))
        assert e.value.file == str(root.with_name("flower"))

    def test_a_missing_folder_without_neighbours(self, tmp_path):
        with pytest.raises(DataError, match="Check the path"):
            load_folder(tmp_path / "no" / "where")

    def test_one_class_is_too_few(self, class_folders):
        with pytest.raises(
            DataError, match=r"only one class, 'a'.*A classifier needs at least two"
        ):
            load_folder(class_folders(a=5))

    def test_names_that_tell_the_classes_are_seen(self, plant):
        root = plant(*(f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(3)))
        with pytest.raises(DataError, match=r"only one class, 'train'.*The names begin with 'cat'"):
            load_folder(root)

    def test_one_class_that_holds_classes_points_below(self, class_folders):
        root = class_folders(**{"images/a": 5, "images/b": 5})
        with pytest.raises(DataError, match=r"the folders in .*images, name that one"):
            load_folder(root)

    def test_parts_without_train_are_an_error(self, class_folders):
        root = class_folders(**{"test/a": 5, "val/b": 5})
        with pytest.raises(
            DataError, match=r"has test, val, but no train part.*Add a folder train/"
        ):
            load_folder(root)

    def test_detection_is_refused(self, plant):
        with pytest.raises(DataError, match="object detection"):
            load_folder(plant("images/1.jpg", "labels/1.txt"))


class TestLoadTest:
    def test_all_photos_of_a_folder_without_parts(self, class_folders):
        split, notes = load_test(class_folders(b=2, a=1), ("a", "b"))
        assert (split.name, split.counts(), notes) == ("test", {"a": 1, "b": 2}, ())

    def test_classes_keep_the_order_of_the_model(self, class_folders):
        split, _ = load_test(class_folders(a=1, b=2), ("b", "a"))
        assert split.labels == (1, 0, 0)

    def test_the_test_part_of_a_folder_with_parts(self, class_folders):
        root = class_folders(**{"train/a": 9, "val/a": 5, "test/a": 3})
        split, notes = load_test(root, ("a", "b"))
        assert len(split) == 3
        assert [note.kind for note in notes] == ["missing-class"]

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_names_in_either_form_are_the_same_class(self, plant, write_list, form):
        name = unicodedata.normalize(form, "ros\u00e9")
        learned = load_folder(
            write_list(f"path,label\na.jpg,{name}\nb.jpg,y\n"), test_fraction=None
        )
        split, notes = load_test(plant("rose\u0301/1.jpg", "y/1.jpg", root="new"), learned.classes)
        assert (split.counts(), notes) == ({"ros\u00e9": 1, "y": 1}, ())

    def test_a_class_that_a_model_has_decomposed_is_found(self, class_folders):
        split, notes = load_test(class_folders(**{"ros\u00e9": 2}), ("rose\u0301", "y"))
        assert split.counts() == {"rose\u0301": 2, "y": 0}
        assert [note.kind for note in notes] == ["missing-class"]

    def test_a_column_that_was_used_to_group_may_be_there_or_not(self, write_list):
        file = write_list("path,label,patient\na.jpg,x,1\nb.jpg,y,1\n")
        assert load_test(file, ("x", "y"), "patient")[0].groups == (0, 0)
        (note,) = load_test(file, ("x", "y"))[1]
        assert note.text == "Columns that are not used: 'patient'."

    def test_no_known_class_is_an_error(self, class_folders):
        with pytest.raises(DataError, match="The training photos have x, y"):
            load_test(class_folders(a=1, b=2), ("x", "y"))


class TestWhatMayBeLearnedFrom:
    def test_photos_that_were_set_aside_may_be(self, class_folders):
        folder = load_folder(class_folders(a=10, b=10), val=0.25)
        assert not folder.has_own_test
        every = folder.all_but_own_test()
        assert len(every) == 20
        assert every.counts() == {"a": 10, "b": 10}

    def test_photos_of_a_test_part_may_not(self, class_folders):
        folder = load_folder(
            class_folders(**{"train/a": 4, "train/b": 4, "val/a": 1, "val/b": 2, "test/a": 3})
        )
        assert folder.has_own_test
        assert folder.all_but_own_test().counts() == {"a": 5, "b": 6}

    def test_nor_those_of_a_val_part_that_is_the_test_set(self, class_folders):
        folder = load_folder(class_folders(**{"train/a": 4, "train/b": 4, "val/a": 1, "val/b": 2}))
        assert folder.all_but_own_test().paths == folder.train.paths
