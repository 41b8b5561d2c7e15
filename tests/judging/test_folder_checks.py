"""Problems of a folder, each with its fix."""

from pathlib import Path

from budwood.images.folder import ImageFolder, Note, Split
from budwood.judging.folder_checks import FIXES, folder_problems


def folder(counts, notes=()):
    classes = tuple(counts)
    labels = tuple(i for i, number in enumerate(counts.values()) for _ in range(number))
    paths = tuple(Path(f"{i}.jpg") for i in range(len(labels)))
    train = Split("train", paths, labels, classes)
    return ImageFolder(Path("photos"), classes, train, None, None, notes)


def test_a_folder_without_problems_has_none():
    assert folder_problems(folder({"a": 20, "b": 30}), {}, 10) == ()


def test_few_photos_and_imbalance_are_problems():
    found = folder_problems(folder({"a": 200, "b": 3, "c": 15}), {}, 10)
    assert [(one.kind, one.text) for one in found] == [
        ("few", "Class 'b' has only 3 training photos."),
        ("imbalance", "Class 'c' has 15 training photos, the largest has 200."),
    ]
    assert all(one.fix for one in found)


def test_broken_photos_are_named_and_counted():
    found = folder_problems(folder({"a": 20, "b": 30}), {Path("x.jpg"): "It is empty."}, 12)
    assert str(found[0]) == "x.jpg: It is empty. Copy it again, or remove it."
    assert found[1].text == "1 of 12 photos that were tried cannot be read."
    assert found[0].to_json()["file"] == "x.jpg"


def test_notes_get_a_fix_but_for_what_is_no_problem():
    notes = (Note("hidden", "Hidden.", Path(".git")), Note("split", "Set aside."))
    found = folder_problems(folder({"a": 20, "b": 30}, notes), {}, 1)
    assert [one.kind for one in found] == ["hidden"]
    assert found[0].fix == FIXES["hidden"]
