"""Problems of a folder, each with its fix."""

from pathlib import Path

import pytest

from budwood.data.folder import ImageFolder, Note, Split
from budwood.evaluation.folder_checks import FIXES, folder_problems


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


def test_of_many_small_classes_one_problem_names_the_first():
    counts = {"most": 3000} | {f"few{n}": n for n in range(8)} | {f"some{n}": 20 for n in range(8)}
    found = folder_problems(folder(counts), {}, 10)
    assert [(one.kind, one.text) for one in found] == [
        ("few", "8 classes have fewer than 10 training photos: 'few0' (0), 'few1' (1), 'few2' (2) "
         "and 5 more."),
        ("imbalance", "8 classes have less than a tenth of the photos of the largest, 3,000: "
         "'some0' (20), 'some1' (20), 'some2' (20) and 5 more."),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["nested", "names-alike", "name-taken", "columns"])
def test_what_may_be_meant_otherwise_has_a_fix(kind):
    (found,) = folder_problems(folder({"a": 20, "b": 30}, (Note(kind, "So."),)), {}, 1)
    assert found.fix == FIXES[kind]
