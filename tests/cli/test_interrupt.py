"""Ctrl-C at any moment: it ends, code 130, no traceback, no row lost, and what it says is true."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from budwood.cli import SECONDS_TO_STOP, output

from .conftest import Outcome, draw_class, interrupt

DEAF = """\
import sys, time
import budwood.cli

def deaf(*args, **kwargs):
    print("running", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass

budwood.cli.cli.main = deaf
sys.argv = ["budwood", "demo"]
budwood.cli.main()
"""


@pytest.fixture(scope="module")
def many(place):
    """Photos for several seconds, those of `train/a` first."""
    folder = place.folder / "many"
    draw_class(folder / "train" / "a", 20, 900, "jpg")
    draw_class(folder / "train" / "b", 120, 100, "jpg")
    for name in "ab":
        shutil.copytree(folder / "train" / "b", folder / "test" / name)
    return folder


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """What is said on stderr up to the line with that text."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} is never said: {said}")


def wait_for_shards(home: Path) -> None:
    """Until rows of some photos are on the disk."""
    for _ in range(6000):
        if len(list(home.glob("store/*/*.safetensors"))) >= 2:
            return
        time.sleep(0.01)
    raise AssertionError("no row is stored in a minute")


def check(outcome: Outcome) -> None:
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    assert "Stopped." in outcome.err + outcome.out


def test_in_the_middle_of_extraction_it_keeps_the_rows(place, many):
    home = {"BUDWOOD_HOME": str(place.folder / "home-of-the-interrupted")}
    fp32 = ("--precision", "fp32")
    with place.start("train", "many", *fp32, **home) as process:
        wait_for(process, "extracting")
        wait_for_shards(Path(home["BUDWOOD_HOME"]))
        outcome = interrupt(process)
    check(outcome)
    assert "the same command goes on there" in outcome.err
    assert not list((place.folder / "runs").glob("many-*"))

    few = place.folder / "few"
    draw_class(few / "train" / "a", 20, 10, "jpg")
    for name in ("train/b", "test/a"):
        shutil.copytree(few / "train" / "a", few / name)
    result = place.run("train", "few", "--json", *fp32, **home).json
    assert result["store"]["hits"] == 30
    assert result["store"]["misses"] == 0


def test_while_the_engine_is_compiled(place, many):
    home = {"BUDWOOD_HOME": str(place.folder / "home-of-the-compiled")}
    with place.start("train", "many", "--json", **home) as process:
        wait_for(process, "parameters train")
        time.sleep(0.2)
        outcome = interrupt(process)
    check(outcome)
    assert "through the trunk" not in outcome.err
    assert json.loads(outcome.out)["error"] == "Stopped."


def test_while_torch_is_imported(place):
    with place.start("train", "photos") as process:
        time.sleep(0.8)
        outcome = interrupt(process)
    check(outcome)


def test_a_library_that_swallows_it_is_not_waited_for(place):
    with subprocess.Popen(
        [sys.executable, "-c", DEAF],
        env=place.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        outcome = interrupt(process)
    check(outcome)


def test_a_library_that_makes_an_error_of_it_is_not_believed(place):
    program = DEAF.replace("pass\n", "raise ImportError('Loaded twice.') from None\n")
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=place.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        outcome = interrupt(process)
    check(outcome)


def test_a_library_that_swallows_it_has_no_more_than_two_seconds():
    assert SECONDS_TO_STOP < 2


@pytest.fixture
def said(monkeypatch, capsys):
    """What Ctrl-C says after some calls."""
    monkeypatch.setattr(output, "_reached", [])

    def say(*calls):
        for call in calls:
            call()
        output.stopped(as_json=True)
        return json.loads(capsys.readouterr().out)["next"]

    return say


class Done:
    """Progress of a pass that is over."""

    done = total = 1
    seconds_left = None
    images_per_second = 1.0


EPOCH = {"epoch": 1, "loss": 0.5, "seconds": 1.0}


def test_before_anything_is_computed_nothing_is_promised(said):
    assert said() is None


def test_rows_are_stored(said):
    assert "so far are stored" in said(lambda: output.ProgressLine("extracting")(Done()))


def test_epochs_are_not_stored(said):
    rows, epochs = output.ProgressLine("extracting"), output.EpochTable()
    assert "no epoch" in said(lambda: rows(Done()), lambda: epochs(EPOCH))


def test_what_is_fitted_is_not_stored_before_the_first_epoch_either(said):
    rows = output.ProgressLine("extracting")
    assert "no epoch" in said(lambda: rows(Done()), lambda: output.reached("training"))


def test_what_stores_nothing_says_so(said):
    assert "Nothing of it is stored" in said(
        lambda: output.ProgressLine("predicting", keeps="nothing")(Done())
    )
    assert "Nothing of it is stored" in said(lambda: output.EpochTable(keeps="nothing")(EPOCH))


def test_epochs_that_are_stopped_are_said_to_be_lost(place, run):
    """After a training whose rows are stored: only the epochs take long."""
    options = ("--fit", "sgd", "--epochs", "1000000", "--json")
    with place.start("train", "photos", *options) as process:
        wait_for(process, "epoch ")
        outcome = interrupt(process)
    check(outcome)
    assert "no epoch" in json.loads(outcome.out)["next"]
