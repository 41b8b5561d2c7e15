"""Unpacking: nothing leads out of the folder, and nothing is ever left half."""

import stat
import tarfile

import pytest

from budwood.errors import DataError
from budwood.files import whole_folder
from budwood.models.downloads import unpack

from .archives import tar_member, tar_of, zip_of


def made(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(params=[tar_of, zip_of], ids=["tar", "zip"])
def pack(request, tmp_path):
    """Makes an archive of either kind of these names."""
    return lambda *names: request.param(tmp_path / "archive", *names)


@pytest.fixture
def folder(tmp_path):
    """Where to unpack to; the archive lies outside of it."""
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    return folder


def test_files_and_folders_arrive(pack, folder):
    unpack(pack("LICENSE.txt", "roses/1.jpg", ".hidden"), folder)
    assert made(folder) == [".hidden", "LICENSE.txt", "roses", "roses/1.jpg"]
    assert (folder / "roses" / "1.jpg").read_bytes() == b"\xff" * 4


def test_one_folder_around_everything_is_left_out(pack, folder):
    unpack(pack("photos/LICENSE.txt", "photos/roses/1.jpg", "./photos/daisy/1.jpg"), folder)
    assert made(folder) == ["LICENSE.txt", "daisy", "daisy/1.jpg", "roses", "roses/1.jpg"]


def test_a_single_file_is_no_folder_around_everything(pack, folder):
    unpack(pack("1.jpg"), folder)
    assert made(folder) == ["1.jpg"]


def test_folders_of_the_archive_are_folders(folder, tmp_path):
    unpack(zip_of(tmp_path / "a.zip", "photos/", "photos/empty/", "photos/roses/1.jpg"), folder)
    assert made(folder) == ["empty", "roses", "roses/1.jpg"]
    members = [tar_member(name, tarfile.DIRTYPE) for name in (".", "photos/none")]
    (tmp_path / "two").mkdir()
    unpack(tar_of(tmp_path / "a.tgz", *members, "photos/1.jpg"), tmp_path / "two")
    assert made(tmp_path / "two") == ["1.jpg", "none"]


def test_files_can_be_read_whatever_the_archive_says(folder, tmp_path):
    member = tarfile.TarInfo("1.jpg")
    member.mode = 0o4000
    unpack(tar_of(tmp_path / "a.tgz", member), folder)
    mode = (folder / "1.jpg").stat().st_mode
    assert mode & stat.S_IRUSR
    assert not mode & stat.S_ISUID


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_damaged_archive_is_named(pack, folder, keep):
    archive = pack("1.jpg", "2.jpg")
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"archive is damaged.*Download it again"):
        unpack(archive, folder)


def test_another_file_is_no_archive(tmp_path, folder):
    (tmp_path / "a.tgz").write_text("<html>Not found</html>")
    with pytest.raises(DataError, match=r"no \.tar\.gz or \.zip archive"):
        unpack(tmp_path / "a.tgz", folder)


def test_a_folder_appears_when_it_is_complete(tmp_path):
    folder = tmp_path / "new" / "folder"
    with whole_folder(folder) as partial:
        (partial / "1.jpg").write_bytes(b"1")
        assert not folder.exists()
    assert made(tmp_path / "new") == ["folder", "folder/1.jpg"]


def test_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with whole_folder(tmp_path / "folder") as partial:
        (partial / "1.jpg").write_bytes(b"1")
    assert made(tmp_path) == ["folder", "folder/1.jpg"]


@pytest.mark.parametrize("problem", [ValueError, OSError, KeyboardInterrupt])
def test_whatever_goes_wrong_nothing_is_left(tmp_path, problem):
    def fill():
        with whole_folder(tmp_path / "folder") as partial:
            (partial / "1.jpg").write_bytes(b"1")
            raise problem("stop")

    with pytest.raises(problem, match="stop"):
        fill()
    assert made(tmp_path) == []


def test_a_folder_that_was_filled_meanwhile_is_kept(tmp_path):
    def fill():
        with whole_folder(tmp_path / "folder"):
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "mine.jpg").write_bytes(b"1")

    with pytest.raises(OSError, match="not empty"):
        fill()
    assert made(tmp_path) == ["folder", "folder/mine.jpg"]


@pytest.mark.parametrize("name", ["../1.jpg", "a/../../1.jpg"])
def test_nothing_leads_out_of_the_folder(folder, tmp_path, name):
    with pytest.raises(DataError, match="outside the destination"):
        unpack(tar_of(tmp_path / "archive", "roses/1.jpg", name), folder)
    assert not (tmp_path / "1.jpg").exists()
    assert not (tmp_path / "deep" / "1.jpg").exists()


def test_devices_are_refused(folder, tmp_path):
    odd = tar_member("odd", tarfile.CHRTYPE)
    with pytest.raises(DataError, match="'odd' is a special file"):
        unpack(tar_of(tmp_path / "a.tgz", odd), folder)
