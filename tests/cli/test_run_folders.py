"""The folder of a run: never another run's, and known to be writable beforehand."""

import errno
from pathlib import Path

import pytest

from budwood.errors import ConfigError, StoreError
from budwood.run_folders import new_folder, request_of, require_writable, write_json, writing_to


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
    write_json(tmp_path / "config.json", {"group": "patient"})
    (tmp_path / "model.safetensors").touch()
    assert (
        request_of(tmp_path / "model.safetensors") == request_of(tmp_path) == {"group": "patient"}
    )


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
