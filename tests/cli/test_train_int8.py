"""`budwood train --precision int8`: what it says, and that a second run computes nothing."""

from importlib.util import find_spec

import pytest

INT8 = ("train", "photos", "--precision", "int8", "--json")


@pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra int8")
def test_the_trial_is_in_the_json_and_a_second_run_finds_everything(trained, place):
    first, second = place.run(*INT8), place.run(*INT8)
    assert first.code == second.code == 0, first.err + second.err
    trial = first.json["int8"]
    assert set(trial) == {
        "accepted",
        "was_asked_for",
        "images",
        "reference",
        "reference_top1",
        "int8_top1",
        "difference",
        "interval",
        "speed",
    }
    assert trial["images"] == 24
    assert first.json["precision"] == ("int8" if trial["accepted"] else trial["reference"])
    assert f"int8 is {'used' if trial['accepted'] else 'not used'}: top-1 on 24" in first.err
    assert second.json["int8"] == trial
    assert second.json["store"]["misses"] == 0
    assert trained.json["int8"] is None
