"""Files that get to their place whole or not at all, and the one folder that is Budwood's own."""

import os
import stat
import sys
from pathlib import Path

import platformdirs
import pytest

from budwood.files import home, whole_file


def test_home_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path / "mine"))
    assert home() == tmp_path / "mine"
    assert not home().exists()


def test_a_tilde_is_the_users_folder(monkeypatch):
    monkeypatch.setenv("BUDWOOD_HOME", "~/mine")
    assert home() == Path.home() / "mine"


@pytest.mark.parametrize("chosen", [None, ""])
def test_home_is_the_platforms_cache_folder_otherwise(chosen, monkeypatch):
    monkeypatch.delenv("BUDWOOD_HOME")
    if chosen is not None:
        monkeypatch.setenv("BUDWOOD_HOME", chosen)
    assert home() == Path(platformdirs.user_cache_path("budwood", appauthor=False))


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "folder" / "file"
    with whole_file(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("problem", [ValueError, OSError, KeyboardInterrupt])
def test_whatever_goes_wrong_the_old_file_stays_and_nothing_else(problem, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted():
        yield b"new"
        raise problem("stop")

    with pytest.raises(problem, match="stop"), whole_file(path) as file:
        file.writelines(interrupted())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), whole_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_it_reaches_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    calls = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda f: (calls.append("sync"), fsync(f)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    with whole_file(tmp_path / "file") as file:
        file.write(b"x")
    assert calls == ["sync", "rename"]


def test_a_failure_to_clean_up_does_not_hide_the_first_error(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError("busy")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ValueError, match="the first"), whole_file(tmp_path / "file"):
        raise ValueError("the first")


def test_two_writers_at_once_both_succeed(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as one, whole_file(path) as two:
        one.write(b"one")
        two.write(b"two")
    assert path.read_bytes() == b"one"  # the outer one is renamed last
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_it_as_the_umask_says(mask, mode, tmp_path):
    before = os.umask(mask)
    try:
        with whole_file(tmp_path / "file") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_name_as_long_as_a_disk_takes_can_be_written(tmp_path):
    with whole_file(tmp_path / ("x" * 255)) as file:
        file.write(b"whole")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"whole"


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"'\S*/folder'$"), whole_file(tmp_path / "folder"):
        pass


def test_a_device_is_written_to_and_not_replaced():
    with whole_file(Path(os.devnull)) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match="'/dev/full'"), whole_file(Path("/dev/full")) as file:
        file.write(b"x" * 100)
