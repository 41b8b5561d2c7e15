"""Names: shown without harm, and made such that every disk takes them."""

import unicodedata

import pytest

from budwood.files import file_name, sameness, unused
from budwood.text import aligned, shown, visible


@pytest.mark.parametrize("odd", ["\x1b[2J", "\n", "\r", "\x9b31m", "\u2028", "\u202e", "\udce4"])
def test_what_a_terminal_would_obey_is_an_escape(odd):
    said = visible(f"a{odd}b")
    assert said.isprintable()
    assert said.startswith("a\\")
    assert said.endswith("b")


@pytest.mark.parametrize("name", ["Gänse", "鸟", "👩‍🌾", "a b", "it's"])
def test_what_people_write_is_shown_as_it_is(name):
    assert visible(name) == name


def test_a_very_long_name_is_shortened_in_its_middle():
    said = shown(f"photos/{'x' * 250}.jpg")
    assert len(said) == 100
    assert said.startswith("photos/xx")
    assert said.endswith("xx.jpg")


def test_no_name_breaks_a_table_or_widens_it():
    table = aligned([("class", "photos"), ("a\nb\x1b[2J", "1"), ("y" * 250, "2")])
    assert len(table.splitlines()) == 3
    assert max(map(len, table.splitlines())) < 120
    assert "a\\nb\\x1b[2J" in table


def test_capitals_and_accents_make_no_difference():
    assert sameness("IMG_É.JPG") == sameness(unicodedata.normalize("NFD", "img_é.jpg"))
    assert sameness("a.jpg") != sameness("b.jpg")


@pytest.mark.parametrize(
    "name", ["con", "AUX.png", "aux:", "a/b", "..", "a?*<>|", "x" * 300, "nul", "b. ", "a\\b", "\0"]
)
def test_every_disk_takes_the_name(name):
    safe = file_name(name)
    assert safe == file_name(safe)
    assert not set(safe) & set('<>:"/\\|?*\0')
    assert safe.partition(".")[0].lower() not in {"con", "aux", "nul", ""}
    assert safe == safe.rstrip(". ")
    assert 0 < len(safe.encode()) <= 200


def test_a_name_that_differs_in_capitals_only_is_taken(tmp_path):
    made = []
    for name in ("Rose", "rose", "ROSE", "ro:se", "ro?se"):
        path = unused(tmp_path, name, ".png")
        path.touch()
        made.append(path.name)
    assert made == ["Rose.png", "rose-2.png", "ROSE-3.png", "ro-se.png", "ro-se-2.png"]
