"""`budwood demo`: the whole job, offline, and no file but in BUDWOOD_HOME and RUN."""

import re

import pytest


def test_it_succeeds_without_a_network(demo):
    assert (demo.text.code, demo.as_json.code) == (0, 0)
    assert not demo.place.socket_log.exists()


def test_it_writes_only_where_it_may(demo):
    assert demo.new == {demo.place.home, demo.place.folder / "shown"}
    for folder in demo.empty:
        assert list(folder.iterdir()) == []


def test_the_network_beats_raw_pixels_and_both_are_shown(demo):
    pixels = re.search(r"classifier of the raw pixels +(0\.\d{3})$", demo.text.out, re.M)
    own = re.search(
        r"linear probe +(\d\.\d{3})  \(95 % interval (0\.\d{3}) to (\d\.\d{3})\)$",
        demo.text.out,
        re.M,
    )
    assert float(pixels[1]) < 0.7 < 0.9 < float(own[1])
    assert float(own[2]) <= float(own[1]) <= float(own[3])
    assert demo.as_json.json["raw_pixels"]["top1"] == pytest.approx(float(pixels[1]), abs=0.0006)
    assert demo.as_json.json["train"]["test"]["top1"] == pytest.approx(float(own[1]), abs=0.0006)


def test_it_says_that_each_class_is_one_picture(demo):
    assert "Each class comes from one picture" in demo.text.out


def test_it_predicts_verifies_and_names_three_commands_to_try(demo):
    assert len(demo.as_json.json["predict"]["predictions"]) == 3
    assert demo.as_json.json["verify"]["passed"] is True
    assert "same answers with torch fp32" in demo.text.out
    assert len(re.findall(r"^  budwood (train|predict) ", demo.text.out, re.M)) == 3


def test_a_second_demo_computes_nothing(demo):
    assert demo.as_json.json["train"]["store"] == {"hits": 1000, "misses": 0, "bytes": 5_120_000}
