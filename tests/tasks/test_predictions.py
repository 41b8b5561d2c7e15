"""Predictions of a list of photos: what is not there is passed over, and what is said of it."""

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from budwood.cli.predict import predict as command
from budwood.errors import DataError
from budwood.evaluation.held_out_statistics import Answers
from budwood.reporter import Reporter
from budwood.tasks import predict as predictions
from budwood.tasks.predict import Prediction, predict

CLASSES = ("path", "unknown")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder with some photos, and a run that reads files which are not empty."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg", "run"):
        Path(name).write_text("a photo")
    Path("empty.jpg").touch()

    def answers(paths):
        bad = {path: "The photo is empty." for path in paths if not path.stat().st_size}
        return Answers(np.zeros((len(paths) - len(bad), 2), np.float32), None, bad)

    saved = SimpleNamespace(class_names=CLASSES, warning=None, statistics_=None, answers=answers)
    monkeypatch.setattr(predictions, "_saved", lambda *args: saved)


def predicted(*paths, notes=None):
    said = [] if notes is None else notes
    return predict("run", paths, top=1, reporter=Reporter(note=said.append))


def test_what_is_not_there_or_cannot_be_read_is_named_and_the_others_answered():
    Path("gone").mkdir()
    Path("dangling.jpg").symlink_to("nowhere.jpg")
    notes = []
    found = predicted(
        "a.jpg", "gone.jpg", "dangling.jpg", "empty.jpg", "gone", "b.jpg", notes=notes
    )
    assert [image.path for image in found.images] == ["a.jpg", "b.jpg"]
    assert found.skipped == {
        "gone.jpg": "There is no photo or folder gone.jpg.",
        "dangling.jpg": "dangling.jpg is a link to nowhere.jpg, which is not there.",
        "gone": "There is no photo in gone.",
        "empty.jpg": "The photo is empty.",
    }
    assert [str(note) for note in notes] == [
        f"{name} is passed over: {reason}" for name, reason in found.skipped.items()
    ]


def test_of_many_one_line_is_said_and_each_is_kept():
    notes = []
    found = predicted("a.jpg", *(f"{n}.jpg" for n in range(9)), "x" * 5000, notes=notes)
    assert len(found.skipped) == 10
    (note,) = notes
    assert str(note) == (
        "10 photos are passed over: 0.jpg, 1.jpg, 2.jpg and 7 more. --json names all, with the "
        "reason."
    )


def test_nothing_there_is_an_error():
    with pytest.raises(
        DataError, match=r"no photo or folder x\. Nor is there any at 1 other path\."
    ):
        predicted("x", "y")
    Path("x.jpg").symlink_to("y")
    with pytest.raises(DataError, match=r"x\.jpg is a link to y, which is not there.*Check"):
        predicted("x.jpg")
    Path("empty2.jpg").touch()
    with pytest.raises(DataError, match=r"empty\.jpg cannot be read: The .* Nor can 1 other\."):
        predicted("empty.jpg", "empty2.jpg")
    with pytest.raises(DataError, match=r"No photo was given.*Pass photos"):
        predicted()


def run(*args, stdin=""):
    return CliRunner().invoke(command, ["run", *args], input=stdin)


def test_a_list_may_hold_comments_blank_lines_and_what_is_gone():
    Path("#1.jpg").write_text("a photo")
    outcome = run("-", "--json", stdin="# mine\r\na.jpg\r\n\n  \n#1.jpg\ngone.jpg\n")
    assert outcome.exit_code == 0
    found = json.loads(outcome.stdout)
    assert [image["path"] for image in found["predictions"]] == ["a.jpg", "#1.jpg"]
    assert [image["path"] for image in found["skipped"]] == ["gone.jpg"]
    assert "gone.jpg is passed over" in outcome.stderr


def test_a_file_that_is_gone_does_not_keep_others_from_their_answers():
    outcome = run("gone.jpg", "b.jpg")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("b.jpg")


def test_the_only_one_that_is_gone_is_told_with_the_nearest_name():
    outcome = run("aa.jpg")
    assert outcome.exit_code == 1
    assert str(outcome.exception) == "There is no photo or folder aa.jpg. Did you mean a.jpg?"


def test_a_list_of_nothing_is_an_error():
    assert "No photo was given" in str(run("-", stdin="# nothing\n").exception)


def test_the_table_tells_a_class_called_unknown_from_a_photo_that_is(monkeypatch):
    answered = Prediction("a.jpg", (("unknown", 0.8),), None, (0.2, 0.8))
    not_answered = Prediction("b.jpg", (("path", 0.6),), "unsure", (0.6, 0.4))
    monkeypatch.setattr(
        predictions,
        "predict",
        lambda *args, **options: predictions.Predictions(
            CLASSES, (answered, not_answered), {}, None
        ),
    )
    rows = list(csv.DictReader(io.StringIO(run("a.jpg", "b.jpg", "--csv", "-").stdout)))
    assert rows == [
        {"path": "a.jpg", "class": "unknown", "probability": "0.800000", "unknown": "false",
         "probability (path)": "0.200000", "probability (unknown)": "0.800000"},
        {"path": "b.jpg", "class": "unknown", "probability": "0.600000", "unknown": "true",
         "probability (path)": "0.600000", "probability (unknown)": "0.400000"},
    ]  # fmt: skip
