"""A disk that fills up while rows are stored: what was there before is kept and used."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from budwood.errors import StoreError
from budwood.features import extraction
from budwood.features import store as stores
from budwood.features.shards import is_intact
from budwood.features.store import RowStore
from budwood.files import whole_file
from budwood.images.contents import digest

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def fills_up(monkeypatch):
    """After so many calls of `os.fsync` or `os.replace` the disk is full."""

    def after(calls, operation):
        real, left = getattr(os, operation), [calls]

        def limited(*arguments):
            if left[0] == 0:
                raise FULL
            left[0] -= 1
            return real(*arguments)

        return monkeypatch.context(), lambda patch: patch.setattr(os, operation, limited)

    return after


@pytest.mark.parametrize("operation", ["fsync", "replace"])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5])
def test_rows_stored_before_the_disk_was_full_are_used(
    operation, calls, fills_up, bench, draw, shards, monkeypatch
):
    monkeypatch.setattr(extraction, "FLUSH_IMAGES", 4)
    paths = draw(20)
    context, fill = fills_up(calls, operation)
    with context as patch:
        fill(patch)
        with pytest.raises(StoreError, match=r"No space left on device.*Free some disk"):
            bench().gather(paths)
    # The first file tells that the engine was trusted, the second what made the rows; before them
    # the folder of the converted trunk is put in its place.
    kept = max(0, calls - (3 if operation == "replace" else 2))
    assert len(shards()) == kept
    assert all(map(is_intact, shards()))
    after = bench().gather(paths)
    assert (after.hits, after.misses) == (4 * kept, 20 - 4 * kept)


@pytest.mark.parametrize("operation", ["fsync", "replace"])
def test_a_file_that_could_not_be_finished_leaves_nothing(operation, tmp_path, fills_up):
    target = tmp_path / "file"
    target.write_text("old")
    context, fill = fills_up(0, operation)
    with context as patch:
        fill(patch)
        with pytest.raises(OSError, match="No space left"), whole_file(target) as file:
            file.write(b"new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "deep" / "file"
    for content in (b"old", b"new"):
        with whole_file(target) as file:
            file.write(content)
        assert target.read_bytes() == content
    assert os.listdir(target.parent) == ["file"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_disk_fills_up(small_disk, bench, draw, monkeypatch):
    monkeypatch.setenv("BUDWOOD_HOME", str(small_disk))
    monkeypatch.setattr(stores, "SPARE_DISK", -(2**30))  # as if another process took the rest
    monkeypatch.setattr(extraction, "FLUSH_IMAGES", 4)
    paths = draw(24)
    bench().gather(paths[:8])
    block = small_disk / "of another process"
    block.write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 2 * 4096))
    with pytest.raises(StoreError, match=r"No space left on device.*set BUDWOOD_HOME to a larger"):
        bench().gather(paths)
    store = next((small_disk / "store").iterdir())
    assert all(map(is_intact, store.glob("*.safetensors")))
    block.unlink()
    after = bench().gather(paths)
    assert 8 < after.hits < 24
    assert after.hits + after.misses == 24


def test_a_row_is_stored_in_all_stores_or_computed_again(bench, draw, two_rows, monkeypatch):
    """The first of two frontier tensors reaches the disk, the second does not."""
    paths, real, calls = draw(4), RowStore.write, []

    def write(self, images, rows):
        calls.append(self)
        if len(calls) == 2:
            raise StoreError("full")
        real(self, images, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RowStore, "write", write)
        with pytest.raises(StoreError, match="full"):
            bench(two_rows()).gather(paths)
    assert digest(paths[0].read_bytes()) in calls[0]
    after = bench(two_rows()).gather(paths)
    assert after.misses == 4
    assert all(np.isfinite(rows.numpy()).all() for rows in after.rows.take(range(4)))
