"""`budwood train`: the contract of its JSON, its folder, and what a second run finds."""

import json
import math
import re

import pytest
from safetensors.numpy import load_file

from .conftest import draw_class

MLP = ("train", "photos", "--head", "mlp:16", "--epochs", "2")


@pytest.fixture(scope="module")
def again(trained, place):
    """The same photos with another head, in two processes; then three more in one."""
    draw_class(place.folder / "others" / "red", 0, 4)
    return [
        place.run(*MLP, "--json"),
        place.run(*MLP, "--json"),
        *place.run_several(
            [
                [*MLP, "--out", "chosen/folder"],
                ["train", "photos", "--val", "0.25", "--epochs", "3", "--patience", "1"],
                ["train", "photos", "--test", "others", "--json"],
            ]
        ),
    ]


def test_stdout_is_one_object_with_every_key_of_the_contract(trained):
    result = trained.json
    assert result["run"] == "runs/photos-efficientnet_lite0"
    assert result["model"] == "efficientnet_lite0"
    assert result["classes"] == ["blue", "green", "red"]
    assert result["precision"] in ("fp32", "bf16")
    assert result["engine"] in ("openvino", "torch")
    assert result["images"] == {"train": 24, "val": 0, "test": 6, "unreadable": 0}
    assert result["epochs"] == []
    assert result["frozen_unchanged"] is True
    assert result["warning"] is None


def test_parameters_that_train_are_those_of_the_new_head(trained):
    parameters = trained.json["parameters"]
    assert parameters["trainable"] == 1280 * 3 + 3
    assert parameters["total"] > 3_000_000


def test_accuracies_are_shares_and_lie_in_their_interval(trained):
    result = trained.json
    low, high = result["test"]["top1_interval"]
    assert 0 <= low <= result["test"]["top1"] <= high <= 1
    assert 0 <= result["train"]["top1"] <= 1
    assert result["test"]["images"] == result["images"]["test"]
    assert sum(map(sum, result["test"]["confusion"])) == result["images"]["test"]


def test_seconds_add_up(trained):
    seconds = dict(trained.json["seconds"])
    total = seconds.pop("total")
    assert set(seconds) == {"startup", "features", "fit", "evaluate", "save"}
    assert all(part >= 0 for part in seconds.values())
    assert sum(seconds.values()) == pytest.approx(total, abs=0.1)


def test_the_first_run_computes_every_row(trained):
    assert trained.json["store"] == {"hits": 0, "misses": 30, "bytes": 30 * 1280 * 4}


def test_the_probe_says_how_its_penalty_was_chosen(trained):
    probe = trained.json["probe"]
    assert probe["l2_strength"] in [candidate["l2_strength"] for candidate in probe["candidates"]]
    assert 0 <= probe["cross_validated_top1"] <= 1
    assert probe["loss"] > 0


def test_notes_and_progress_go_to_stderr(trained):
    assert "6 photos of 30 are set aside for testing" in trained.err
    assert "3,843 of" in trained.err
    assert re.search(r"extracting 30 of 30 photos, \d+ a second", trained.err)


def test_the_run_holds_its_files(trained, run, place):
    folder = place.folder / run
    assert sorted(path.name for path in folder.iterdir()) == [
        ".budwood",
        "config.json",
        "history.json",
        "model-card.md",
        "model.safetensors",
        "photos.csv",
        "report.html",
        "result.json",
    ]
    assert json.loads((folder / "result.json").read_text()) == {"version": 2, **trained.json}
    assert json.loads((folder / "history.json").read_text()) == []
    config = json.loads((folder / "config.json").read_text())
    assert (config["data"], config["head"], config["seed"]) == ("photos", "linear", 0)


def test_another_head_computes_no_row(again):
    assert again[0].code == 0
    assert again[0].json["store"]["misses"] == 0
    assert again[0].json["store"]["hits"] == 30
    assert "through the trunk" not in again[0].err


def test_epochs_are_rows_of_json_and_lines_on_stderr(again):
    rows = again[0].json["epochs"]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(math.isfinite(row["loss"]) and row["seconds"] >= 0 for row in rows)
    assert rows[0]["lr"] > rows[1]["lr"] > 0
    assert again[0].json["probe"] is None
    assert len(re.findall(r"^  epoch +\d+  loss \d", again[0].err, re.MULTILINE)) == 2


def test_default_folders_are_numbered_and_never_overwritten(trained, again):
    runs = [outcome.json["run"] for outcome in (trained, *again[:2])]
    stem = "runs/photos-efficientnet_lite0"
    first, second, third = [int(run.removeprefix(stem)[1:] or 1) for run in runs]
    assert first == 1
    assert third == second + 1 > 2


def test_the_same_command_gives_the_same_numbers_bit_for_bit(again, place):
    first, second = (
        load_file(place.folder / o.json["run"] / "model.safetensors") for o in again[:2]
    )
    assert first.keys() == second.keys()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    assert again[0].json["test"] == again[1].json["test"]


def test_out_is_where_the_run_goes(again, place):
    assert again[2].code == 0
    assert (place.folder / "chosen" / "folder" / "model.safetensors").is_file()
    assert "Saved: chosen/folder/model.safetensors" in again[2].out


def test_the_text_says_accuracy_time_and_what_to_do_next(again):
    text = again[2].out
    assert re.search(r"Top-1 accuracy \d\.\d{3} \(95 % interval \d\.\d{3} to \d\.\d{3}\)", text)
    assert "Time: total" in text
    assert "Next: budwood predict chosen/folder PHOTO" in text


def test_validation_photos_steer_and_the_best_epoch_is_starred(again):
    assert again[3].code == 0
    assert "are set aside for early stopping" in again[3].err
    assert re.search(r"val loss \d\.\d{4}  val top-1 \d\.\d{3} \*", again[3].err)


def test_another_test_folder_leaves_all_photos_for_training(again):
    assert again[4].json["images"] == {"train": 30, "val": 0, "test": 4, "unreadable": 0}
    assert "The test part has no photo of class 'blue'." in again[4].json["notes"]
