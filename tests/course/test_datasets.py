"""Data sets by name: only the published photos arrive, all of them, and nothing is overwritten."""

import errno
import os
import re
import shutil
import socket

import pytest

from budwood.course.datasets import DATASETS, Datasets, find_dataset, get_dataset
from budwood.data.folder import load_folder
from budwood.errors import DataError, UnknownName
from budwood.reporter import Reporter

from ..archives import FLOWERS, dataset_of, images_of, tar_of, zip_of  # noqa: TID252
from ..models import conftest as networks  # noqa: TID252

site = networks.site  # a web server that can misbehave


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """The current folder is a new one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """An archive that is published as `flowers`."""
    names = images_of(FLOWERS, "flower_photos")
    path = tar_of(tmp_path / "flower_photos.tgz", "flower_photos/LICENSE.txt", *names)
    monkeypatch.setitem(DATASETS, "flowers", dataset_of(path, FLOWERS))
    return path


def here():
    return sorted(os.listdir())


def test_an_archive_becomes_a_folder_of_classes(archive):
    notes = []
    flowers = get_dataset("flowers", archive=archive, reporter=Reporter(note=notes.append))
    assert flowers.to_json() == {
        "data": "flowers",
        "folder": "flowers",
        "classes": {"daisy": 2, "roses": 3},
        "images": 5,
    }
    assert here() == ["flowers"]
    assert load_folder("flowers").classes == ("daisy", "roses")
    assert notes == [f"Unpacking {archive} into flowers."]
    assert "5 photos in flowers:\n  daisy     2\n  roses     3\n" in str(flowers)
    assert str(flowers).endswith("Next: budwood train flowers")


def test_parts_become_parts(tmp_path, monkeypatch):
    counts = {"train/cats": 3, "train/dogs": 3, "validation/cats": 1, "validation/dogs": 1}
    path = zip_of(tmp_path / "pets.zip", "pets/read.me", *images_of(counts, "pets"))
    monkeypatch.setitem(DATASETS, "catdog", dataset_of(path, counts))
    pets = get_dataset("catdog", tmp_path / "my pets", archive=path)
    assert pets.to_json()["classes"] == {"cats": 4, "dogs": 4}
    images = load_folder(pets.folder)
    assert (len(images.train), len(images.test)) == (6, 2)
    assert str(pets).endswith(f"Next: budwood train '{tmp_path}/my pets'")


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_download_is_resumed_checked_unpacked_and_kept(archive, site, budwood_home, monkeypatch):
    site.content = archive.read_bytes()
    site.cuts = [100]
    monkeypatch.setitem(DATASETS, "flowers", dataset_of(archive, FLOWERS, site.address))
    seen = []
    get_dataset("flowers", on_progress=lambda *progress: seen.append(progress))
    assert site.asked == [None, "bytes=100-"]
    assert seen[-1] == (len(site.content), len(site.content))
    assert (budwood_home / "downloads" / archive.name).read_bytes() == site.content
    get_dataset("flowers", "again")
    assert here() == ["again", "flowers"]
    assert len(site.asked) == 2


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_download_that_is_another_file_is_refused(archive, site, monkeypatch):
    site.content = archive.read_bytes()[::-1]
    monkeypatch.setitem(DATASETS, "flowers", dataset_of(archive, FLOWERS, site.address))
    with pytest.raises(DataError, match=r"SHA-256 is .*It was removed.*--archive FILE"):
        get_dataset("flowers")
    assert here() == []


def test_offline_the_error_names_address_place_and_way_out(budwood_home, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises(DataError, match="download it elsewhere and pass --archive FILE") as caught:
        get_dataset("flowers")
    assert DATASETS["flowers"].url in caught.value.problem
    assert caught.value.file == str(budwood_home / "downloads" / "flower_photos.tgz")
    assert here() == []


def test_a_file_put_where_downloads_go_is_checked_too(archive, budwood_home):
    (budwood_home / "downloads").mkdir()
    put = shutil.copy(archive, budwood_home / "downloads")
    get_dataset("flowers")
    with open(put, "ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=r"is not the published archive of flowers"):
        get_dataset("flowers", "again")


def test_an_archive_cut_short_is_told_by_its_size(archive):
    size = archive.stat().st_size
    archive.write_bytes(archive.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"It has {size - 9} bytes\. It must be {size} bytes\."):
        get_dataset("flowers", archive=archive)
    assert here() == []


def test_another_archive_is_told_by_its_hash(archive):
    archive.write_bytes(archive.read_bytes()[::-1])
    hashes = r"Its SHA-256 is [0-9a-f]{64}\. It must be [0-9a-f]{64}\."
    with pytest.raises(DataError, match=rf"{hashes} Remove it and download https://a\.b/"):
        get_dataset("flowers", archive=archive)


def test_photos_that_are_missing_are_told_and_nothing_is_kept(archive, monkeypatch):
    wanted = FLOWERS | {"roses": 4}
    monkeypatch.setitem(DATASETS, "flowers", dataset_of(archive, wanted))
    with pytest.raises(DataError, match=r"3 photos in 'roses'\. flowers has 4 there"):
        get_dataset("flowers", archive=archive)
    assert here() == []


def test_an_archive_that_leads_out_of_the_folder_is_refused(tmp_path, monkeypatch):
    path = tar_of(tmp_path / "evil.tgz", "flowers/daisy/1.jpg", "../../evil.jpg")
    monkeypatch.setitem(DATASETS, "flowers", dataset_of(path, {"daisy": 1}))
    with pytest.raises(DataError, match=r"'\.\./\.\./evil\.jpg' .* outside the dest"):
        get_dataset("flowers", archive=path)
    assert here() == []


def test_a_folder_in_use_is_never_overwritten(archive, tmp_path):
    os.mkdir("flowers")
    get_dataset("flowers", archive=archive)  # an empty folder is not in use
    for folder, reason in (("flowers", "is not empty"), (".", "is the current folder")):
        os.chdir(tmp_path / "here" if folder == "flowers" else tmp_path)
        with pytest.raises(DataError, match=rf"{re.escape(folder)} {reason}.*a new folder"):
            get_dataset("flowers", folder, archive=archive)
    with pytest.raises(DataError, match=r"tgz is a file.*Pass --out"):
        get_dataset("flowers", archive, archive=archive)


def test_a_folder_in_use_is_told_before_anything_is_downloaded(monkeypatch):
    os.makedirs("flowers/mine")
    with pytest.raises(DataError, match="flowers is not empty"):
        get_dataset("flowers")


def test_a_full_disk_is_told_and_nothing_is_left(archive, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tarfile.copyfileobj", full)
    with pytest.raises(DataError, match=r"flowers cannot be written: No space left.*--out"):
        get_dataset("flowers", archive=archive)
    assert here() == []


def test_an_archive_that_is_not_there_is_told():
    with pytest.raises(DataError, match=r"There is no archive nowhere\.tgz"):
        get_dataset("flowers", archive="nowhere.tgz")


@pytest.mark.parametrize(("name", "guess"), [("Flower", r" Did you mean 'flowers'\?"), ("xyz", "")])
def test_another_name_is_refused_with_the_nearest(name, guess):
    with pytest.raises(UnknownName, match=rf"called '{name}'\.{guess} `budwood data list`"):
        get_dataset(name)


def test_the_published_figures_are_consistent():
    assert sum(find_dataset("flowers").images.values()) == 3670
    assert find_dataset("catdog").classes == {"cats": 1500, "dogs": 1500}
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", dataset.sha256)


def test_the_list_says_what_each_is():
    listed = Datasets(tuple(DATASETS.values()))
    assert [entry["name"] for entry in listed.to_json()["data"]] == ["flowers", "catdog"]
    assert "flowers: 3670 photos (daisy, dandelion, roses, sunflowers, tulips), 229 MB" in str(
        listed
    )
    assert "Another subset than the course's own" in str(listed)
