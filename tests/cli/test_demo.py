"""`budwood demo`: the whole job, offline, and no file but in BUDWOOD_HOME and RUN."""

import re

import pytest

from .conftest import Place


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A place of its own with an empty HOME, TMPDIR and working folder, and what the demo says."""
    place = Place(tmp_path_factory.mktemp("demo"))
    empty = {name: place.folder / f"empty-{name}" for name in ("HOME", "TMPDIR")}
    for folder in empty.values():
        folder.mkdir()
    before = set(place.folder.iterdir())
    changes = {name: str(folder) for name, folder in empty.items()}
    text = place.run("demo", **changes)
    as_json = place.run("demo", "--json", "--out", "shown", **changes)
    new = set(place.folder.iterdir()) - before
    return place, empty, new, text, as_json


def test_it_succeeds_without_a_network(elsewhere):
    place, _, _, text, as_json = elsewhere
    assert (text.code, as_json.code) == (0, 0)
    assert not place.socket_log.exists()


def test_it_writes_only_where_it_may(elsewhere):
    place, empty, new, _, _ = elsewhere
    assert new == {place.home, place.folder / "shown"}
    for folder in empty.values():
        assert list(folder.iterdir()) == []


def test_the_network_beats_raw_pixels_and_both_are_shown(elsewhere):
    _, _, _, text, as_json = elsewhere
    pixels = re.search(r"classifier of the raw pixels +(0\.\d{3})$", text.out, re.M)
    own = re.search(
        r"linear probe +(\d\.\d{3})  \(95 % interval (0\.\d{3}) to (\d\.\d{3})\)$", text.out, re.M
    )
    assert float(pixels[1]) < 0.7 < 0.9 < float(own[1])
    assert float(own[2]) <= float(own[1]) <= float(own[3])
    assert as_json.json["raw_pixels"]["top1"] == pytest.approx(float(pixels[1]), abs=0.0006)
    assert as_json.json["train"]["test"]["top1"] == pytest.approx(float(own[1]), abs=0.0006)


def test_it_says_that_each_class_is_one_picture(elsewhere):
    assert "Each class comes from one picture" in elsewhere[3].out


def test_it_predicts_verifies_and_names_three_commands_to_try(elsewhere):
    _, _, _, text, as_json = elsewhere
    assert len(as_json.json["predictions"]) == 3
    assert as_json.json["verify"]["passed"] is True
    assert "same answers with torch fp32" in text.out
    assert len(re.findall(r"^  budwood (train|predict) ", text.out, re.M)) == 3


def test_a_second_demo_computes_nothing(elsewhere):
    assert elsewhere[4].json["train"]["store"] == {"hits": 1000, "misses": 0, "bytes": 5_120_000}
