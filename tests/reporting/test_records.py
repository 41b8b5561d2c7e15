"""What a run left behind is read again, and what is damaged or gone is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from budwood.data.folder import load_folder
from budwood.errors import ConfigError
from budwood.reporting.records import (
    ListedImage,
    RunRecord,
    images_of,
    listed,
    read_record,
    write_images,
)
from budwood.settings import Settings


@pytest.fixture
def folder(tmp_path):
    """A run's folder, and a folder of photos beside it."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "photos" / name / f"{i}.jpg").write_bytes(b"")
    run = tmp_path / "run"
    run.mkdir()
    request = Settings(data=tmp_path / "photos").to_json()
    (run / "config.json").write_text(json.dumps(request))
    (run / "result.json").write_text(json.dumps({"test": None}))
    return run


def test_the_list_of_photos_is_read_again_and_can_be_trained_on(folder):
    images = listed(load_folder(folder.parent / "photos"))
    write_images(folder / "photos.csv", images)
    assert read_record(folder, {}, None).images == images
    again = load_folder(folder / "photos.csv")
    assert {p.path for p in images if p.split == "test"} == set(again.test.paths)
    assert again.classes == ("a", "b")


def test_a_run_without_a_list_is_split_as_it_was(folder):
    assert read_record(folder, {}, None).images == listed(load_folder(folder.parent / "photos"))


def test_a_run_without_a_list_whose_photos_have_gone_knows_none(folder):
    (folder.parent / "photos").rename(folder.parent / "moved")
    assert read_record(folder, {}, None).images == ()


def test_photos_that_are_there_are_told_from_others(folder):
    images = listed(load_folder(folder.parent / "photos"))
    images[0].path.unlink()
    record = RunRecord(
        folder, Settings(data=folder.parent / "photos"), {"test": None}, images, {}, ""
    )
    assert record.here() == images[1:]
    assert record.shown(images[0].path) == f"{images[0].label}/{images[0].path.name}"
    assert record.shown("elsewhere/1.jpg") == "elsewhere/1.jpg"
    assert record.confusion == ()


def test_paths_of_a_list_are_short_too(folder):
    record = RunRecord(folder, Settings(data=folder / "photos.csv"), {"test": None}, (), {}, "")
    assert record.shown(folder / "a/1.jpg") == "a/1.jpg"


def test_classes_of_few_training_photos_are_named():
    images = [ListedImage(Path(str(i)), "a", "train") for i in range(12)]
    images += [ListedImage(Path("x"), "b", "train"), ListedImage(Path("y"), "b", "test")]
    result = {"test": None, "classes": ["a", "b", "c"]}
    record = RunRecord(Path("run"), Settings(data=Path("photos")), result, tuple(images), {}, "")
    assert record.small_classes() == {"b": 1, "c": 0}
    assert replace(record, images=()).small_classes() == {}


@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_what_is_no_run_is_told(folder, name):
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=rf"no {name} in .*a folder that `budwood train` wrote"):
        read_record(folder, {}, None)


def test_a_damaged_result_is_told(folder):
    (folder / "result.json").write_text("{")
    with pytest.raises(ConfigError, match=r"result.json is damaged.*Train again"):
        read_record(folder, {}, None)


def test_a_damaged_list_is_told(folder):
    (folder / "photos.csv").write_text("path,label\na.jpg,a\n")
    with pytest.raises(ConfigError, match=r"photos.csv is damaged.*Train again"):
        images_of(folder, {})


def test_names_with_commas_and_quotes_survive(tmp_path):
    images = (ListedImage(tmp_path / 'a, "b".jpg', "c,d", "train"),)
    write_images(tmp_path / "photos.csv", images)
    assert images_of(tmp_path, {}) == images


def test_a_result_of_version_1_is_read_with_todays_keys(folder):
    old = {
        "images": {"train": 4, "skipped": 1},
        "probe": {"penalty": 2.0, "candidates": [{"penalty": 2.0, "top1": 1.0}]},
        "test": {"photos": 5, "most_wrong": [{"truth": "a", "truth_probability": 0.1}]},
        "abstain": {"answered": 3, "test": {"photos": 5, "answered": 3, "error": 0.2}},
    }
    (folder / "result.json").write_text(json.dumps(old))
    assert read_record(folder, {}, None).result == {
        "images": {"train": 4, "unreadable": 1},
        "probe": {"l2_strength": 2.0, "candidates": [{"l2_strength": 2.0, "top1": 1.0}]},
        "test": {"images": 5, "most_wrong": [{"label": "a", "label_probability": 0.1}]},
        "abstain": {"covered": 3, "test": {"images": 5, "covered": 3, "selective_error": 0.2}},
    }


def test_a_result_with_a_version_is_read_as_it_is(folder):
    (folder / "result.json").write_text(json.dumps({"version": 2, "test": {"photos": 5}}))
    assert read_record(folder, {}, None).result == {"version": 2, "test": {"photos": 5}}
