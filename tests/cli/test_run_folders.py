"""The folder of a run: never another run's, and known to be writable beforehand."""

import errno
from pathlib import Path

import pytest

from budwood.errors import ConfigError, StoreError
from budwood.files import write_json
from budwood.run_folders import (
    mark,
    new_folder,
    place_for,
    require_new,
    require_no_file,
    require_outside,
    require_writable,
    settings_of_run,
    writing_to,
)
from budwood.settings import Settings


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """An empty one."""
    monkeypatch.chdir(tmp_path)


def test_every_run_gets_a_folder_of_its_own():
    Path("photos").mkdir()
    data = Path("photos/flowers.csv")
    data.touch()
    folders = [new_folder(data, "timm/vgg16") for _ in range(3)]
    assert [folder.name for folder in folders] == [
        "flowers-timm-vgg16",
        "flowers-timm-vgg16-2",
        "flowers-timm-vgg16-3",
    ]
    assert all(folder.is_dir() for folder in folders)


def test_a_folder_keeps_what_looks_like_an_ending_and_a_list_loses_it():
    Path("photos.v2").mkdir()
    Path("list.v2.csv").touch()
    assert new_folder(Path("photos.v2"), "m").name == "photos.v2-m"
    assert new_folder(Path("list.v2.csv"), "m").name == "list.v2-m"


def test_what_was_asked_for_is_found_from_the_capsule_too(tmp_path):
    write_json(tmp_path / "config.json", {"data": "photos", "group": "patient"})
    (tmp_path / "model.safetensors").touch()
    expected = Settings(data=Path("photos"), group="patient")
    assert settings_of_run(tmp_path / "model.safetensors") == settings_of_run(tmp_path) == expected


def test_a_number_that_is_free_is_taken():
    for name in ("a-b", "a-b-3"):
        (Path("runs") / name).mkdir(parents=True)
    assert new_folder(Path("a"), "b").name == "a-b-2"


def test_a_folder_that_can_be_made_is_writable(tmp_path):
    require_writable(Path("new/below/new"))
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder():
    Path("file").touch()
    with pytest.raises(ConfigError, match=r"file is a file.*pass --out"):
        require_writable(Path("file/run"))


def test_a_read_only_folder_is_refused(monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match=r"is read-only.*pass --out"):
        require_writable(Path("run"))


def test_a_full_disk_is_the_problem_of_the_run():
    with (
        pytest.raises(ConfigError, match=r"written to run: No space left.*Make room there"),
        writing_to(Path("run")),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FileExistsError("there"), StoreError("the store's problem")])
def test_other_problems_are_passed_on(error):
    with pytest.raises(type(error), match=str(error)), writing_to(Path("run")):
        raise error


def test_plain_values_are_written_as_json():
    write_json(Path("config.json"), {"seed": 1})
    assert Path("config.json").read_text() == '{\n  "seed": 1\n}'


def test_output_is_never_put_among_the_photos_by_itself(tmp_path, monkeypatch):
    images = tmp_path / "project" / "photos"
    (images / "roses").mkdir(parents=True)
    monkeypatch.chdir(images)
    assert place_for(Path("runs"), Path()) == tmp_path / "project" / "runs"
    assert new_folder(Path(), "m") == tmp_path / "project" / "runs" / "photos-m"
    assert place_for(Path("runs"), tmp_path / "other") == Path("runs")
    assert [entry.name for entry in images.iterdir()] == ["roses"]


@pytest.mark.parametrize("out", ["photos", "photos/run", "photos/../photos/new/run"])
def test_a_folder_among_the_photos_is_refused(out):
    Path("photos").mkdir()
    with pytest.raises(ConfigError, match=r"of photos photos.*taken for photos.*--out"):
        require_outside(Path(out), None, Path("photos"))


def test_what_is_not_ours_is_never_replaced():
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    for replace in (False, True):
        with pytest.raises(ConfigError, match=r"mine is not empty.*Pass --out with another"):
            require_new(Path("mine"), replace)


def test_an_earlier_result_is_replaced_if_that_is_asked_for():
    mark(Path("run"))
    with pytest.raises(ConfigError, match=r"earlier command.*another folder, or --replace"):
        require_new(Path("run"), False)
    require_new(Path("run"), True)


def test_a_run_of_before_there_was_a_marker_is_known():
    Path("run").mkdir()
    for name in ("model.safetensors", "config.json"):
        (Path("run") / name).touch()
    require_new(Path("run"), True)


def test_a_folder_with_files_of_others_is_not_marked():
    Path("mine").mkdir()
    Path("mine/notes.txt").touch()
    mark(Path("mine"))
    mark(Path("new"))
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    assert [path.name for path in Path("new").iterdir()] == [".budwood"]


def test_a_result_of_before_is_not_overwritten():
    Path("figures.json").touch()
    require_no_file(Path("figures.json"), True)
    with pytest.raises(ConfigError, match=r"figures.json is there already.*--replace"):
        require_no_file(Path("figures.json"), False)


@pytest.mark.parametrize(("data", "name"), [("photos.v2", "photos.v2-m"), ("aux", "aux-m")])
def test_a_folder_is_called_as_the_photos_are(data, name):
    Path(data).mkdir()
    assert new_folder(Path(data), "m").name == name
