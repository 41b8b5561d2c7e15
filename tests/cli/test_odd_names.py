"""Odd names and full disks: no command loses its work, and every error names the next step."""

import os
from pathlib import Path

import pytest

from budwood.cli.output import _problem, note, show_bytes, show_text
from budwood.data.folder import load_folder
from budwood.tasks.predict import Prediction, Predictions
from budwood.text import visible

from .conftest import draw_class

LATIN = os.fsdecode(b"g\xe4nsebl\xfcmchen.png")
ESCAPES = "a\x1b[2Jb\n.png"


@pytest.fixture(scope="module")
def odd(place):
    """Photos of two classes, some with names that are no UTF-8, that no terminal should show, and
    that spreadsheets take for formulas."""
    for name, hue in (("blue", 160), ("red", 0)):
        draw_class(place.folder / "odd" / name, hue, 8)
        draw_class(place.folder / "odder" / name, hue, 1)
        names = (LATIN, ESCAPES, "=HYPERLINK(1).png")
        for number, called in enumerate(names):
            folder = place.folder / "odd" / name
            (folder / f"{name}-0{number}.png").rename(folder / called)
    (place.folder / "odd" / "red" / LATIN).rename(place.folder / LATIN)
    (place.folder / "odd" / "red" / "=HYPERLINK(1).png").rename(place.folder / "=1.png")
    return place


@pytest.fixture(scope="module")
def outcomes(odd):
    """A training in a narrow place of characters, and what is done with its run."""
    ascii_ = {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C", "PYTHONUTF8": "0"}
    commands = {
        "train": ["train", "odd", "--out", "odd-run", "--precision", "fp32"],
        "again": ["train", "odd", "--out", "odd-run"],
        "inside": ["train", "odd", "--out", "odd/run"],
        "predict": ["predict", "odd-run", "odd", LATIN, "--csv", "odd.csv"],
        "stdout": ["predict", "odd-run", LATIN, "=1.png", "--csv", "-"],
        "full": ["predict", "odd-run", LATIN, "--csv", "/dev/full"],
        "explain": ["explain", "odd-run", "odd/red/" + ESCAPES, "--out", "odd/red/why"],
    }
    done = odd.run_several(list(commands.values()), **ascii_)
    return dict(zip(commands, done, strict=True))


def test_a_training_ends_with_all_its_files(outcomes, odd):
    assert outcomes["train"].code == 0, outcomes["train"].err
    names = {path.name for path in (odd.folder / "odd-run").iterdir()}
    assert {"photos.csv", "report.html", "model-card.md", "result.json", ".budwood"} <= names
    assert b"g\xe4nse" in (odd.folder / "odd-run" / "photos.csv").read_bytes()
    (odd.folder / "odd-run" / "report.html").read_text("utf-8")


def test_the_list_of_a_run_can_be_read_again(outcomes, odd):
    images = load_folder(odd.folder / "odd-run" / "photos.csv", find_groups=False)
    assert LATIN in {path.name for path in images.train.paths + images.test.paths}


def test_an_earlier_run_is_not_replaced_unasked(outcomes):
    assert outcomes["again"].code == 1
    assert "another folder, or --replace" in outcomes["again"].err


@pytest.mark.parametrize("case", ["inside", "explain"])
def test_nothing_is_written_among_the_photos(outcomes, odd, case):
    assert outcomes[case].code == 1
    assert "Pass --out with a folder elsewhere" in outcomes[case].err
    assert {path.name for path in (odd.folder / "odd").iterdir()} == {"blue", "red"}


def test_answers_are_not_lost(outcomes, odd):
    assert outcomes["predict"].code == 0, outcomes["predict"].err
    assert b"g\xe4nse" in (odd.folder / "odd.csv").read_bytes()


def test_no_name_reaches_the_terminal_as_it_is(outcomes):
    for outcome in outcomes.values():
        assert "\x1b" not in outcome.err
    said = outcomes["predict"].out
    assert "\x1b" not in said
    assert "a\\x1b[2Jb\\n.png" in said


def test_a_table_on_stdout_has_no_formulas(outcomes):
    assert "\n./=1.png," in outcomes["stdout"].out


def test_a_full_disk_is_named_with_the_next_step(outcomes):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    assert outcomes["full"].code == 1
    said = outcomes["full"].err.splitlines()[-1]
    assert "/dev/full" in said
    assert "no space left on device. Make room" in said
    assert "--debug" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_standard_output_is_one_line(place, more):
    said = place.python(
        "import subprocess, sys\n"
        "out = open('/dev/full', 'w')\n"
        "command = [sys.executable, '-m', 'budwood', 'models', *sys.argv[1:]]\n"
        "done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True)\n"
        "print(done.returncode, done.stderr)",
        *more,
    )
    assert said.startswith("1 budwood: The result cannot be written to standard output: no space")
    assert "--debug" not in said


def test_a_terminal_that_knows_no_umlauts_shows_escapes(place):
    environment = {"PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"}
    outcome = place.run("train", "鸟" + LATIN, **environment)
    assert outcome.code == 1
    assert outcome.err.startswith("budwood: There is no folder or CSV file ")
    assert "g\\xe4nsebl\\xfcmchen.png. " in outcome.err


ERRORS = {
    28: "Make room on that disk",
    30: "That disk is read-only",
    13: "Check that you may read and write there",
    36: "Choose a shorter name",
    21: "name a file",
}


@pytest.mark.parametrize("number", ERRORS)
def test_a_problem_of_the_disk_names_the_file_and_the_next_step(number):
    problem = _problem(OSError(number, os.strerror(number), "some/file"))
    assert problem.file == "some/file"
    assert problem.problem.startswith("some/file cannot be read or written: ")
    assert ERRORS[number] in str(problem.next)


def test_other_errors_of_the_system_ask_for_the_traceback():
    assert "--debug" in str(_problem(OSError("something")))


def test_very_long_names_do_not_widen_a_table():
    images = [Prediction(name, (("a", 0.5),)) for name in ("b.jpg", "x" * 250 + ".jpg")]
    lines = str(Predictions(("a",), tuple(images), {}, None)).splitlines()
    assert max(map(len, lines)) < 120


def test_notes_and_results_keep_their_lines(capsys):
    note("a\x1bb\nc")
    show_text("d\ne")
    show_bytes(b"f\n")
    said = capsys.readouterr()
    assert said.err == "  a\\x1bb\nc\n"
    assert said.out == "d\ne\nf\n"
    assert visible("a\tb\n", "\t\n") == "a\tb\n"


def test_help_is_whole_without_docstrings(place):
    program = (
        "import subprocess, sys\n"
        "for words in (['--help'], ['train', '--help'], ['cache', '--help']):\n"
        "    subprocess.run([sys.executable, *sys.argv[1:], '-m', 'budwood', *words], check=True)"
    )
    assert place.python(program, "-OO") == place.python(program)
