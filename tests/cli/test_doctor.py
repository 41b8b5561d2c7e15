"""`budwood doctor`, the real command: it tells all and changes nothing."""

import shutil

import pytest

from .conftest import draw_class


@pytest.fixture(scope="module")
def folder(place):
    """Photos with problems."""
    root = place.folder / "sick"
    draw_class(root / "train" / "blue", 160, 30)
    draw_class(root / "train" / "green", 90, 12)
    draw_class(root / "train" / "lonely", 0, 1)
    draw_class(root / "test" / "blue", 160, 3)
    (root / ".trash").mkdir()
    for number in range(12):
        (root / "train" / "blue" / f"torn-{number}.png").write_bytes(b"no photo")
    return root


@pytest.fixture(scope="module")
def outcomes(place, folder, tmp_path_factory):
    """Without photos, with, and as JSON; the home folder does not exist."""
    home = {"BUDWOOD_HOME": str(place.folder / "home-of-doctor")}
    commands = [
        ["doctor"],
        ["doctor", "sick"],
        ["doctor", "sick", "--model", "lenet5", "--json"],
        ["doctor", "nowhere"],
    ]
    before = contents(folder)
    outcomes = place.run_several(commands, **home)
    assert contents(folder) == before
    return outcomes


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_it_tells_of_the_machine(outcomes):
    out = outcomes[0].out
    assert outcomes[0].code == 0
    for word in ("Machine", "Memory", "Libraries", "Engines", "GPU", "Store", "Weights"):
        assert f"\n{word}" in f"\n{out}"
    assert "torch fp32 agrees with torch fp32 (error 0.000 of the spread)" in out
    assert "openvino fp32 agrees with torch fp32" in out
    assert "efficientnet_lite0" in out
    assert "what trains" not in out


def test_it_forecasts_three_ways_of_training(outcomes):
    out = outcomes[1].out
    assert outcomes[1].code == 0, outcomes[1].err
    for what in ("head", "last stage", "whole network"):
        assert f"\n{what}" in out
    assert "--unfreeze 'conv_head'" in out
    assert "--unfreeze '*'" in out


def test_it_names_problems_with_their_fixes(outcomes):
    out = outcomes[1].out
    assert "sick/.trash: This hidden folder is ignored. Nothing, if" in out
    assert "Class 'lonely' has only 1 training photo. Add some" in out
    assert "torn-" in out
    assert "`budwood audit` tries all." in out
    assert "The test part has no photo of class 'green'. Add some" in out


def test_json_is_one_object(outcomes):
    found = outcomes[2].json
    assert found["machine"]["cores"] >= 1
    assert found["libraries"].keys() >= {"torch", "openvino"}
    assert found["dataset"]["model"] == "lenet5"
    assert found["dataset"]["images"] == {"train": 55, "evaluated": 3}
    for forecast in found["dataset"]["forecasts"]:
        assert forecast["seconds"] > 0
        assert forecast["memory_bytes"] > 0
        assert forecast["stored_bytes"] > 0
    kinds = {problem["kind"] for problem in found["dataset"]["problems"]}
    assert {"hidden", "few", "unreadable", "missing-class"} <= kinds


def test_a_folder_that_is_not_there_is_an_error(outcomes):
    assert outcomes[3].code == 1
    assert "There is no folder or CSV file nowhere" in outcomes[3].err


def test_nothing_is_written_and_nobody_is_called(place, folder):
    home = place.folder / "another-home"
    sockets = place.folder / "sockets-of-doctor.txt"
    done = place.run("doctor", "sick", BUDWOOD_HOME=str(home), SOCKET_LOG=str(sockets))
    assert done.code == 0, done.err
    assert not home.exists()
    assert not sockets.exists()


def test_what_is_stored_and_kept_stays_as_it_is(place, folder):
    home = place.folder / "full-home"
    trained = place.run("train", "photos", "--json", BUDWOOD_HOME=str(home))
    assert trained.code == 0, trained.err
    before = contents(home)
    shutil.rmtree(place.folder / trained.json["run"])
    found = place.run("doctor", "photos", "--json", BUDWOOD_HOME=str(home)).json
    assert contents(home) == before
    assert found["store"]["bytes"] > 0
    assert found["store"]["entries"] >= 1
