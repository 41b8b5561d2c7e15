import re

import pytest

from budwood.data.labels import folded, names_alike, names_taken, normalised


def test_names_are_composed_and_without_blanks_around_them():
    assert normalised("\u00a0rose\u0301 ") == "ros\u00e9"
    assert normalised("sea lion") == "sea lion"


@pytest.mark.parametrize("name", ["sea lion", "SeaLion", "sea_lion", "Sea-Lion", "sea\u200blion"])
def test_names_that_mean_the_same_to_people(name):
    assert folded(name) == folded("sealion")


@pytest.mark.parametrize("name", ["sea lions", "sea/lion", "séalion"])
def test_other_names_are_others(name):
    assert folded(name) != folded("sealion")


def test_classes_alike_are_named_with_their_photos():
    (note,) = names_alike({"Cat": 40, "cat": 1200, "dog": 3, "dogs": 4, "a b": 1, "a_b": 2})
    assert note.kind == "names-alike"
    assert note.text == (
        "Classes that differ in case, blanks, hyphens or underscores only are told apart: "
        "'Cat' (40), 'cat' (1,200); 'a b' (1), 'a_b' (2)."
    )
    assert not list(names_alike({"cat": 1, "cats": 2}))


def test_of_many_classes_alike_the_first_are_named():
    (note,) = names_alike({name: 1 for n in range(9) for name in (f"k{n}", f"K{n}")})
    assert note.text.endswith("'k4' (1), 'K4' (1); and 4 more.")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Unknown", "A class is called 'Unknown', as photos are that .* the column unknown of its"),
        ("nan", r"Class 'nan' \(1 photo\) is called as programs call no label"),
        ("None", r"Class 'None' \(1 photo\) is called as"),
    ],
)
def test_names_that_mean_something_else_are_said(name, said):
    (note,) = names_taken({"cat": 3, name: 1})
    assert note.kind == "name-taken"
    assert re.match(said, note.text)


def test_a_class_none_is_one():
    assert not list(names_taken({"none": 3, "NA": 2}))
