"""evaluate, predict, verify, inspect and cache on a trained run, as text and as JSON."""

import csv
import io

import pytest

from budwood.errors import DataError
from budwood.tasks.predict import predict


def test_evaluate_judges_every_photo_of_a_folder_without_parts(verbs):
    assert verbs["evaluate"].code == 0
    assert "on 30 photos" in verbs["evaluate"].out


def test_evaluate_json_takes_the_capsule_itself_too(verbs):
    result = verbs["evaluate json"].json
    assert result["images"] == {"test": 30, "unreadable": 0}
    assert result["test"]["images"] == 30
    assert result["data"] == "photos"
    assert result["warning"] is None
    assert result["notes"] == []


def test_predict_names_the_best_classes_of_each_photo(verbs):
    lines = verbs["predict"].out.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("photos/red/red-00.png")
    assert lines[0].count(",") == 1


def test_predict_json_ranks_the_classes(verbs):
    result = verbs["predict json"].json
    (image,) = result["predictions"]
    shares = [one["probability"] for one in image["top"]]
    assert image["class"] == image["top"][0]["class"] == "red"
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert result["skipped"] == []


def test_a_broken_photo_is_named_and_passed_over(verbs):
    assert verbs["predict broken"].code == 0
    assert verbs["predict broken"].out.startswith("some/good.png")
    assert verbs["predict broken"].err.count("some/torn.png is passed over") == 1
    (skipped,) = verbs["predict broken json"].json["skipped"]
    assert skipped["path"] == "some/torn.png"
    assert skipped["reason"]


def test_nothing_but_broken_photos_is_an_error(verbs):
    assert verbs["predict only broken"].code == 1
    assert verbs["predict only broken"].json["file"] == "some/torn.png"
    assert "cannot be read" in verbs["predict only broken"].json["error"]


def test_a_folder_without_photos_is_an_error_that_names_the_formats(verbs):
    assert verbs["predict nothing"].code == 1
    assert "There is no photo in nothing-in-it. JPEG, PNG" in verbs["predict nothing"].err


def test_a_path_that_is_not_there_is_an_error_in_python_too():
    with pytest.raises(DataError, match=r"no photo or folder nowhere.*Check the path"):
        predict("run", ["nowhere"], top=1)


def test_csv_to_stdout_is_all_of_stdout(verbs):
    rows = list(csv.reader(io.StringIO(verbs["predict csv"].out)))
    assert rows[0] == ["path", "class", "probability", "unknown", "blue", "green", "red"]
    assert len(rows) == 31
    for row in rows[1:]:
        assert sum(map(float, row[4:])) == pytest.approx(1, abs=1e-4)
        assert float(row[2]) == max(map(float, row[4:]))
        assert row[3] == "false"


def test_csv_to_a_file_prints_the_predictions_and_says_where_it_is(verbs, place):
    assert verbs["predict csv file"].out.startswith("photos/red/red-00.png")
    assert "1 rows in table.csv" in verbs["predict csv file"].err
    assert (place.folder / "table.csv").read_text().count("\n") == 2


def test_predict_takes_a_list_on_stdin(verbs):
    paths = [image["path"] for image in verbs["predict list"].json["predictions"]]
    assert paths == ["photos/red/red-03.png", "photos/blue/blue-04.png"]


def test_verify_proves_the_answers(verbs):
    assert verbs["verify"].code == 0
    assert verbs["verify"].out.startswith("same answers with torch fp32")
    result = verbs["verify json"].json
    assert result["passed"] is True
    assert result["images"] >= 4
    assert [check["passed"] for check in result["checks"]] == [True, True]
    assert all(check["error"] <= check["tolerance"] for check in result["checks"])


def test_inspect_shows_a_run_as_it_was_frozen(verbs, trained):
    assert "classifier" in verbs["inspect"].out
    result = verbs["inspect json"].json
    assert trained.json["parameters"].items() <= result["parameters"].items()
    assert result["output"] == [1, 3]
    states = {layer["name"]: layer["state"] for layer in result["layers"]}
    assert states["classifier"] == "trainable"
    assert states["conv_stem"] == "frozen"


def test_cache_lists_verifies_and_clears(place, trained):
    kept = trained.json["store"]["bytes"]
    listing, text, checked = place.run_several(
        [["cache", "list", "--json"], ["cache", "list"], ["cache", "verify", "--json"]]
    )
    assert listing.json["bytes"] >= kept
    assert listing.json["folder"] == str(place.home / "store")
    entry = listing.json["entries"][0]
    assert entry["rows"] > 0
    assert entry["key"][:12] in text.out
    assert checked.json["clean"] is True
    assert checked.json["files"] >= len(listing.json["entries"])


def test_cache_finds_damage_and_clears_what_is_asked_for(tmp_path, place, trained):
    store = tmp_path / "store"
    shards = sorted((place.home / "store").glob("*/*.safetensors"))
    for number, key in enumerate(("aa11", "bb22")):
        (store / key).mkdir(parents=True)
        (store / key / shards[0].name).write_bytes(shards[0].read_bytes()[: -1 - number])
    home = {"BUDWOOD_HOME": str(tmp_path)}
    damaged = place.run("cache", "verify", "--json", **home).json
    assert (damaged["files"], len(damaged["removed"]), damaged["clean"]) == (2, 2, False)
    cleared = place.run("cache", "clear", "aa", "--json", fresh=True, **home).json
    assert cleared == {"removed": ["aa11"], "bytes": 0, "trunks": 0, "leftovers": 0}
    assert place.run("cache", "clear", **home).out.startswith("1 entry removed")
    assert place.run("cache", "list", **home).out == f"Nothing is stored in {store}.\n"
