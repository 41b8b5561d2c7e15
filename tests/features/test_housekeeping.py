"""Keeping the store: listing, checking and clearing it."""

import os
import time

import numpy as np
import pytest

from budwood.errors import StoreError, UnknownName
from budwood.features import housekeeping
from budwood.features.housekeeping import ABANDONED, clear_store, list_store, verify_store
from budwood.features.store import RowStore

ROWS = np.ones((3, 4), np.float32)
PHOTOS = [bytes([i]) * 16 for i in range(3)]


@pytest.fixture
def two_makers():
    about = {"tensor": "mean", "shape": [4], "engine": "torch"}
    for maker in ("abc1", "def2"):
        RowStore(maker, about).write(PHOTOS, ROWS)


def test_an_empty_store_can_be_kept():
    assert list_store().to_json()["entries"] == []
    assert verify_store().to_json()["clean"]
    assert clear_store().removed == ()


@pytest.mark.usefixtures("two_makers")
def test_the_listing_says_what_is_stored(shards):
    RowStore("abc1", {}).write(PHOTOS[:1], ROWS[:1])  # again: it is still three photos
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
