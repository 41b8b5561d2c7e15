"""Ctrl-C at any moment: gone within two seconds, exit code 130, no traceback, no row lost."""

import json
import shutil
import subprocess
import sys
import time

import pytest

from .conftest import Outcome, draw_class, interrupt

IN_TIME = 2.0
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


def check(outcome: Outcome, seconds: float) -> None:
    assert outcome.code == 130
    assert seconds < IN_TIME
    assert "Traceback" not in outcome.err
    assert "Stopped." in outcome.err + outcome.out


def test_in_the_middle_of_extraction_it_keeps_the_rows(place, many):
    home = {"BUDWOOD_HOME": str(place.folder / "home-of-the-interrupted")}
    fp32 = ("--precision", "fp32")
    with place.start("train", "many", *fp32, **home) as process:
        wait_for(process, "extracting")
        time.sleep(2.5)
        outcome, seconds = interrupt(process)
    check(outcome, seconds)
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
        outcome, seconds = interrupt(process)
    check(outcome, seconds)
    assert "through the trunk" not in outcome.err
    assert json.loads(outcome.out)["error"] == "Stopped."


def test_while_torch_is_imported(place):
    with place.start("train", "photos") as process:
        time.sleep(0.8)
        outcome, seconds = interrupt(process)
    check(outcome, seconds)


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
        outcome, seconds = interrupt(process)
    check(outcome, seconds)
