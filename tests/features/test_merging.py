"""Small shards become one, whoever reads, writes or dies meanwhile; few files are open at once."""

import errno
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from budwood.errors import StoreError
from budwood.features import shards as files
from budwood.features import store as stores
from budwood.features.shards import MANY, is_intact
from budwood.features.store import RowStore

IMAGES = [i.to_bytes(16, "little") for i in range(2 * MANY)]
ROWS = np.arange(4 * MANY, dtype=np.float32).reshape(-1, 2)


def fill(store, count=2 * MANY, first=0):
    """One shard a photo."""
    for i in range(first, first + count):
        store.write(IMAGES[i : i + 1], ROWS[i : i + 1])
    return store


def holds_all(store, rows=ROWS):
    return np.array_equal(store.at(store.locate(IMAGES)), rows)


def test_many_small_shards_become_one_with_the_same_rows(shards):
    mine = fill(RowStore("maker", {}))
    reader = RowStore("maker", {})
    before = reader.locate(IMAGES)
    mine.merge()
    (merged,) = shards()
    assert is_intact(merged)
    assert holds_all(mine)
    assert holds_all(RowStore("maker", {}))
    np.testing.assert_array_equal(reader.at(before[::-1]), ROWS[::-1])  # it looks for them again
    reader.refresh()
    assert holds_all(reader)
    assert len(reader) == len(IMAGES)


def test_a_few_small_shards_stay(shards):
    fill(RowStore("maker", {}), MANY - 1).merge()
    assert len(shards()) == MANY - 1


def test_large_shards_stay_and_merged_ones_do_not_grow_without_end(shards, monkeypatch):
    monkeypatch.setattr(files, "MERGED_BYTES", 8 * MANY)
    fill(RowStore("maker", {})).merge()
    assert len(shards()) == 2
    monkeypatch.setattr(files, "SMALL_BYTES", 8)
    fill(RowStore("other", {}), MANY).merge()
    assert len(shards()) == 2 + MANY


def test_shards_of_two_types_are_not_mixed(shards):
    store = RowStore("maker", {})
    for i, image in enumerate(IMAGES):
        kind = np.float16 if i % 2 else np.float32
        store.write([image], ROWS[i : i + 1].astype(kind))
    store.merge()
    assert len(shards()) == 2
    assert holds_all(store)


def test_rows_that_are_there_twice_are_merged_once(shards):
    one, other = RowStore("maker", {}), RowStore("maker", {})
    fill(one)
    other.write(IMAGES[:5], ROWS[:5])
    one.refresh()
    one.merge()
    (merged,) = shards()
    assert len(files.open_shard(merged).images) == len(IMAGES)
    assert holds_all(one)


def test_who_is_killed_while_merging_loses_nothing(shards, monkeypatch):
    store = fill(RowStore("maker", {}))

    def killed(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            store.merge()
    assert len(shards()) == len(IMAGES) + 1
    again = RowStore("maker", {})
    assert holds_all(again)
    again.merge()
    assert len(shards()) == 1
    assert holds_all(again)


def test_a_full_disk_leaves_small_shards_as_they_are(shards, monkeypatch, caplog):
    store = fill(RowStore("maker", {}))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    store.merge()
    assert "cannot be merged: [Errno 28] No space left on device" in caplog.text
    assert len(shards()) == len(IMAGES)
    assert holds_all(store)


def test_a_damaged_shard_is_not_merged(shards, caplog):
    store = fill(RowStore("maker", {}))
    torn = shards()[3]
    content = bytearray(torn.read_bytes())
    content[-1] ^= 1
    torn.write_bytes(content)
    store.merge()
    assert f"{torn} is damaged" in caplog.text
    assert len(shards()) == 2
    assert torn.exists()
    assert not is_intact(torn)


def test_of_two_that_merge_one_leaves_it_to_the_other(shards, caplog):
    store = fill(RowStore("maker", {}))
    with caplog.at_level(logging.INFO, "budwood"), files.FileLock(store.folder / ".merging"):
        store.merge()
    assert "Another process merges" in caplog.text
    assert len(shards()) == len(IMAGES)


def test_a_pass_ends_with_few_shards(bench, draw, shards, monkeypatch):
    from budwood.features import extraction

    monkeypatch.setattr(extraction, "FLUSH_IMAGES", 1)
    paths = draw(4 * MANY + 2)  # four go through the trunk at once
    gathered = bench().gather(paths)
    assert len(shards()) == 1
    again = bench().gather(paths)
    assert again.hits == len(paths)
    everything = range(len(paths))
    assert (gathered.rows.take(everything)[0] == again.rows.take(everything)[0]).all()


def test_rows_that_were_cleared_while_in_use_are_said_to_be(shards):
    store = fill(RowStore("maker", {}), 2)
    places = store.locate(IMAGES[:2])
    files.MAPS.forget()
    for path in shards():
        path.unlink()
    with pytest.raises(StoreError, match=r"were removed while they were in use\. Run it again"):
        store.at(places)


REASONS = [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EIO, errno.ESTALE]


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("where", ["open_shard", "shard_paths"])
def test_what_cannot_be_read_is_neither_damaged_nor_missing(reason, where, shards, monkeypatch):
    fill(RowStore("maker", {}), 2)

    def refuse(path):
        raise OSError(reason, os.strerror(reason), str(path))

    monkeypatch.setattr(stores, where, refuse)
    with pytest.raises(StoreError, match=rf"cannot be read: {os.strerror(reason)}\.") as caught:
        RowStore("maker", {})
    assert "damaged" not in str(caught.value)
    assert ("ulimit -n" in str(caught.value)) == (reason in REASONS[:2])
    assert len(shards()) == 2


def test_rows_that_cannot_be_read_any_more_are_no_reason_to_compute_them(monkeypatch):
    store = fill(RowStore("maker", {}), 2)
    monkeypatch.setattr(files, "_mapped", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(StoreError, match="cannot be read: I/O error"):
        store.at(store.locate(IMAGES[:2]))
    assert store.damaged == {}
    assert IMAGES[0] in store


def test_maps_are_closed_for_a_file_that_cannot_be_opened(monkeypatch):
    store = fill(RowStore("maker", {}), 2)
    real, tries = files._mapped, []

    def crowded(shard):
        tries.append(1)
        if len(tries) == 1:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(shard)

    monkeypatch.setattr(files, "_mapped", crowded)
    np.testing.assert_array_equal(store.at(store.locate(IMAGES[:1])), ROWS[:1])
    assert len(tries) == 2


def test_a_second_gathering_opens_no_shard_again(bench, draw, monkeypatch):
    paths, made = draw(4), bench()
    made.gather(paths)
    opened, real = [], stores.open_shard
    monkeypatch.setattr(stores, "open_shard", lambda path: opened.append(path) or real(path))
    assert made.gather(paths[:3]).hits == 3
    assert opened == []


SCRIPT = """
import os, resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
os.environ["BUDWOOD_HOME"] = sys.argv[1]
from budwood.features.store import RowStore
store = RowStore("maker", {})
keys = [i.to_bytes(16, "little") for i in range(150)]
for i, key in enumerate(keys):
    store.write([key], np.full((1, 4), i, np.float32))
for reader in (store, RowStore("maker", {})):
    rows = reader.at(reader.locate(keys))
    assert (rows[:, 0] == np.arange(150)).all() and not reader.damaged
store.merge()
assert (store.at(store.locate(keys))[:, 0] == np.arange(150)).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_NOFILE")
def test_more_shards_than_files_may_be_open_are_written_and_read(budwood_home):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, budwood_home], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
