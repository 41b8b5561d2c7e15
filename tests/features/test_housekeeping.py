"""Keeping the store: listing, checking and clearing it."""

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from budwood.cli.cache import cache
from budwood.errors import StoreError, UnknownName
from budwood.features import housekeeping
from budwood.features.housekeeping import ABANDONED, clear_store, list_store, verify_store
from budwood.features.store import RowStore

ROWS = np.ones((3, 4), np.float32)
IMAGES = [bytes([i]) * 16 for i in range(3)]


@pytest.fixture
def two_makers():
    about = {"tensor": "mean", "shape": [4], "engine": "torch"}
    for maker in ("abc1", "def2"):
        RowStore(maker, about).write(IMAGES, ROWS)


def test_an_empty_store_can_be_kept():
    assert list_store().to_json()["entries"] == []
    assert verify_store().to_json()["clean"]
    assert clear_store().removed == ()


@pytest.mark.usefixtures("two_makers")
def test_the_listing_says_what_is_stored(shards):
    RowStore("abc1", {}).write(IMAGES[:1], ROWS[:1])  # again: it is still three photos
    listing = list_store()
    assert [(entry.key, entry.rows) for entry in listing.entries] == [("abc1", 3), ("def2", 3)]
    assert listing.to_json()["bytes"] == sum(path.stat().st_size for path in shards())
    assert "photos" in str(listing)
    assert "mean 4  torch        3" in str(listing)


@pytest.mark.usefixtures("two_makers")
def test_an_intact_store_passes(shards):
    cleaning = verify_store()
    assert (cleaning.files, cleaning.removed) == (2, ())
    assert "2 files checked, all intact" in str(cleaning)
    assert len(shards()) == 2


@pytest.mark.usefixtures("two_makers")
def test_damaged_files_are_removed_and_named(shards):
    cut, flipped = shards()
    cut.write_bytes(cut.read_bytes()[:-1])
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    cleaning = verify_store()
    assert [name.split()[0] for name in cleaning.removed] == [str(cut), str(flipped)]
    assert not cleaning.to_json()["clean"]
    assert shards() == []


@pytest.mark.usefixtures("two_makers")
def test_a_listing_leaves_damaged_files_out(shards):
    shards()[0].write_bytes(b"torn")
    assert [entry.rows for entry in list_store().entries] == [0, 3]


@pytest.mark.usefixtures("two_makers")
def test_only_partial_files_of_the_dead_are_removed(shards):
    old, new = (shards()[0].with_name(f".{name}.partial") for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - ABANDONED - 60))
    (removed,) = verify_store().removed
    assert removed == f"{old} was never finished"
    assert new.exists()
    assert not old.exists()


@pytest.mark.usefixtures("two_makers")
def test_clearing_removes_what_was_asked_for(shards):
    assert len(clear_store(["ab"]).removed) == 1
    assert [path.parent.name for path in shards()] == ["def2"]
    clear_store()
    assert shards() == []


@pytest.mark.usefixtures("two_makers")
def test_an_unknown_key_removes_nothing(shards):
    with pytest.raises(UnknownName, match="`budwood cache list` shows the keys"):
        clear_store(["abc", "xyz"])
    assert len(shards()) == 2


@pytest.mark.usefixtures("two_makers")
def test_what_cannot_be_removed_is_said(monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(housekeeping.shutil, "rmtree", refuse)
    with pytest.raises(StoreError, match=r"Permission denied\. Stop the processes that use it"):
        clear_store()


def test_converted_trunks_are_listed_and_go_with_everything(two_makers, bench, draw):
    bench().gather(draw(3))
    listing = list_store()
    (size,) = listing.trunks
    assert listing.to_json()["trunks"] == {"count": 1, "bytes": size}
    assert "1 converted trunks take" in str(listing)
    assert clear_store(["abc"]).trunks == 0
    assert len(list_store().trunks) == 1
    cleared = clear_store()
    assert cleared.trunks == 1
    assert "and 1 converted trunks removed" in str(cleared)
    assert list_store().trunks == ()


@pytest.fixture
def refused(monkeypatch):
    """Makes files unreadable, for root too."""

    def refuse(path, error):
        real = Path.open

        def opened(self, *args, **kwargs):
            if self == path:
                raise OSError(error, os.strerror(error), str(path))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Path, "open", opened)

    return refuse


@pytest.mark.usefixtures("two_makers")
@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_file_that_cannot_be_read_is_named_and_kept(error, shards, refused):
    closed, other = shards()
    refused(closed, error)
    checkup = verify_store()
    assert checkup.unreadable == (f"{closed} cannot be read: {os.strerror(error)}",)
    assert (checkup.files, checkup.removed) == (1, ())
    assert not checkup.to_json()["clean"]
    assert "1 kept that could not be checked or removed" in str(checkup)
    assert "intact" not in str(checkup)
    assert shards() == [closed, other]


@pytest.mark.usefixtures("two_makers")
def test_a_damaged_file_on_a_disk_that_is_read_only_is_named(shards, monkeypatch):
    shards()[0].write_bytes(b"torn")

    def refuse(self, missing_ok=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    (said,) = verify_store().unreadable
    assert said.endswith("was damaged and cannot be removed: Read-only file system")


@pytest.mark.usefixtures("two_makers")
def test_unreadable_files_are_an_exit_code(shards, refused):
    refused(shards()[0], errno.EACCES)
    outcome = CliRunner().invoke(cache, ["verify", "--json"], standalone_mode=False)
    assert outcome.return_value == 1
    assert len(json.loads(outcome.stdout)["unreadable"]) == 1


STRAY = ["Thumbs.db", ".DS_Store", "desktop.ini"]


@pytest.mark.usefixtures("two_makers")
def test_stray_files_and_folders_are_left_alone(budwood_home, bench, draw, shards):
    paths = draw(3)
    bench().gather(paths)
    folders = [path for path in budwood_home.rglob("*") if path.is_dir()]
    strays = [folder / name for folder in (budwood_home, *folders) for name in STRAY]
    for folder in ("store", "trunks", "groups", "weights"):
        (budwood_home / folder / "notes").mkdir(parents=True)
        strays.append(budwood_home / folder / "notes" / "model.safetensors")
    strays.append(shards()[0].with_name("mine.safetensors"))
    for path in strays:
        path.write_text("somebody else's")
    again = bench()
    assert again.gather(paths).hits == 3
    assert not again.said("damaged")
    assert len(list_store().entries) == 3
    assert len(list_store().trunks) == 1
    assert verify_store().to_json()["clean"]
    assert all(path.exists() for path in strays)
    assert len(clear_store().removed) == 3
    assert all(path.exists() for path in strays if path.parent.name == "notes")
    assert (budwood_home / "store" / "Thumbs.db").exists()


@pytest.mark.usefixtures("two_makers")
def test_an_about_file_that_makes_no_sense_is_no_error(budwood_home):
    (budwood_home / "store" / "abc1" / "about.json").write_text("[")
    (budwood_home / "store" / "def2" / "about.json").write_text("[1]")
    assert {entry.tensor for entry in list_store().entries} == {"?"}


def test_clearing_takes_what_killed_processes_left(budwood_home):
    old, new = [], []
    for place in ("trunks/.abc.partial", "weights/.net.pth.partial", "groups/abc.json"):
        for kept, name in ((old, "old"), (new, "new")):
            path = budwood_home / place
            path = path.with_name(f"{path.name[:1]}{name}{path.name[1:]}")
            if place.startswith("trunks"):
                path.mkdir(parents=True)
                (path / "model.bin").write_bytes(b"half")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"half")
            kept.append(path)
    for path in old:
        os.utime(path, (0, time.time() - ABANDONED - 60))
    assert clear_store(()).to_json()["leftovers"] == 3
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)
