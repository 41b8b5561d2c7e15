"""`budwood audit`, the command itself."""

import csv
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def images(place):
    """The drawn photos, one of them twice and one cut off; made anew for this file."""
    folder = place.folder / "audited"
    shutil.copytree(place.folder / "photos", folder)
    shutil.copy(folder / "red" / "red-00.png", folder / "red" / "twice.png")
    (folder / "blue" / "torn.png").write_bytes((folder / "blue" / "blue-00.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def outcome(place, trained, images):
    return place.run("audit", "audited", "--json", "--csv", "found.csv", fresh=True)


def test_the_findings_are_one_json_object(outcome):
    assert outcome.code == 0, outcome.err
    kinds = {finding["kind"] for finding in outcome.json["findings"]}
    assert {"unreadable", "duplicate"} <= kinds
    assert "found.csv lists what was found" in outcome.err
    assert outcome.json["fixed"] == []


def test_the_list_has_a_line_for_each_photo(outcome, place):
    with (place.folder / "found.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    images = [image for finding in outcome.json["findings"] for image in finding["images"]]
    assert [line["image"] for line in lines] == images
    assert {line["action"] for line in lines} == {""}


def test_a_list_is_not_overwritten_and_a_wrong_place_told_before_the_work(outcome, place):
    again, nowhere = place.run_several(
        [
            ["audit", "audited", "--csv", "found.csv"],
            ["audit", "audited", "--csv", "no/found.csv", "--json"],
        ]
    )
    assert again.code == nowhere.code == 1
    assert "found.csv is there already" in again.err
    assert "There is no folder no" in nowhere.json["error"]


def test_the_text_is_a_table_and_reasons(outcome, place):
    said = place.run("audit", "audited")
    assert said.code == 0, said.err
    assert "judged by efficientnet_lite0" in said.out
    assert "The same file is there 2 times. Keep one." in said.out
    assert "The photo ends too early (truncated)." in said.out


def test_fixes_are_carried_out_told_and_harmless_when_repeated(outcome, place, images):
    text = (place.folder / "found.csv").read_text("utf-8-sig")
    lines = [line for line in text.splitlines() if "twice.png" in line or "torn.png" in line]
    filled = [text.splitlines()[0], *(f"{line}remove" for line in lines)]
    (place.folder / "filled.csv").write_text("\n".join(filled), "utf-8")
    number = len(list(images.rglob("*.png")))
    empty, first, second = place.run_several(
        [
            ["audit", "audited", "--fix", "found.csv", "--json"],
            ["audit", "audited", "--fix", "filled.csv", "--json"],
            ["audit", "audited", "--fix", "filled.csv", "--json"],
        ]
    )
    assert "asks for anything" in empty.err
    assert first.code == second.code == 0, first.err + second.err
    assert "twice.png is now" in first.err
    assert [fix["was_done"] for fix in first.json["fixed"]] == [False, False]
    assert [fix["was_done"] for fix in second.json["fixed"]] == [True, True]
    assert "had been moved to" in second.err
    removed = place.folder / "audited-removed"
    assert (removed / "red" / "twice.png").is_file()
    assert (removed / "blue" / "torn.png").is_file()
    assert len(list(images.rglob("*.png"))) == number - 2
    assert first.json["images"] == number - 2
    kinds = {finding["kind"] for finding in first.json["findings"]}
    assert not kinds & {"unreadable", "duplicate"}


def test_what_is_no_list_or_no_folder_is_refused(outcome, place):
    (place.folder / "wrong.csv").write_text("path,label\n")
    (place.folder / "photos.csv").write_text("path,label\nphotos/red/red-00.png,red\n")
    wrong, listed, missing, model = place.run_several(
        [
            ["audit", "audited", "--fix", "wrong.csv", "--json"],
            ["audit", "photos.csv", "--fix", "found.csv", "--json"],
            ["audit", "audited", "--fix", "none.csv"],
            ["audit", "audited", "--model", "resnet5O", "--json"],
        ]
    )
    assert "is no list of findings" in wrong.json["error"]
    assert "is a list: its photos are not moved" in listed.json["error"]
    assert missing.code == 2
    assert "resnet5O" in model.json["error"]


def test_a_network_or_column_that_is_not_there_is_told_before_anything_is_moved(
    outcome, place, images
):
    (place.folder / "one.csv").write_text("photo,action\naudited/red/red-01.png,remove\n")
    said = place.run_several(
        [
            ["audit", "audited", "--fix", "one.csv", "--model", "vgg11", "--json"],
            ["audit", "audited", "--fix", "one.csv", "--group", "animal", "--json"],
        ]
    )
    assert [one.code for one in said] == [1, 1]
    assert "has no column 'animal'" in said[1].json["error"]
    assert (images / "red" / "red-01.png").is_file()


def test_a_group_needs_a_list(place, outcome):
    said = place.run("audit", "audited", "--group", "animal", "--json")
    assert said.code == 1
    assert "has no column 'animal'" in said.json["error"]
    assert Path(said.json["file"]).name == "audited"


def test_train_keeps_groups_of_a_list_on_one_side(place, trained):
    lines = ["path,label,animal"]
    for name in ("blue", "red"):
        lines += [f"photos/{name}/{name}-{n:02}.png,{name},{name}{n // 3}" for n in range(10)]
    (place.folder / "animals.csv").write_text("\n".join(lines))
    said = place.run("train", "animals.csv", "--group", "animal", "--json", "--out", "runs/animals")
    assert said.code == 0, said.err
    judged = place.run("evaluate", "runs/animals", "animals.csv", "--json")
    assert judged.code == 0, judged.err
