"""Shards that were cut short, overwritten or put where they do not belong."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from budwood.errors import StoreError
from budwood.features.shards import FORMAT, is_intact, open_shard
from budwood.features.store import RowStore

IMAGES = [hashlib.blake2b(bytes([i]), digest_size=16).digest() for i in range(3)]
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def shard(shards):
    RowStore("maker", {}).write(IMAGES, ROWS)
    return shards()[0]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))
        store = RowStore("maker", {})
        store.write(IMAGES, ROWS)
        return next(store.folder.glob("*.safetensors")).read_bytes()


@pytest.fixture
def planted(budwood_home):
    """Puts bytes where a shard would be."""

    def plant(data: bytes, maker: str = "maker"):
        path = budwood_home / "store" / maker / "shard.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return plant


def shard_bytes(tensors, maker="maker"):
    return save(tensors, {"budwood": f"{FORMAT} {maker}"})


KEYS = np.zeros((3, 16), np.uint8)


def test_a_shard_cut_short_anywhere_is_an_error(content, planted):
    for end in range(len(content)):
        path = planted(content[:end])
        with pytest.raises(StoreError, match=r"`budwood cache verify` removes damaged files"):
            open_shard(path)
        assert not is_intact(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # one file, overwritten
@given(data=st.data())
def test_a_flipped_bit_is_found(data, content, planted):
    where = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[where] ^= 1 << data.draw(st.integers(0, 7))
    path = planted(bytes(flipped))
    path = path.rename(path.with_stem(hashlib.blake2b(content, digest_size=16).hexdigest()))
    assert not is_intact(path)
    assert RowStore("maker", {}).damaged.keys() <= {path}  # opened or refused, never a crash


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it ends within its header"),
        (b"Not a shard but a letter to the editor.", "it ends within its header"),
        (len(b"{]").to_bytes(8, "little") + b"{]", "its header makes no sense"),
        (len(b"[1]").to_bytes(8, "little") + b"[1]", "its header makes no sense"),
        (save({"weight": ROWS}, {"format": "pt"}), "it does not hold budwood-rows-1 of maker"),
        (save({"weight": ROWS}), "its header makes no sense"),
        (shard_bytes({"rows": ROWS}), "its header makes no sense"),
        (
            shard_bytes({"photos": KEYS, "rows": ROWS}, maker="other"),
            "it does not hold budwood-rows-1 of maker",
        ),
        (shard_bytes({"photos": KEYS[:2], "rows": ROWS}), "do not belong together"),
        (shard_bytes({"photos": KEYS.astype(np.int8), "rows": ROWS}), "do not belong together"),
    ],
)
def test_what_is_no_shard_of_this_folder_is_refused(data, reason, planted):
    path = planted(data)
    with pytest.raises(StoreError, match=reason) as caught:
        open_shard(path)
    assert caught.value.file == str(path)
    assert not is_intact(path)


def test_a_header_that_contradicts_itself_is_refused(content, planted):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["rows"]["shape"] = [3, 3]
    text = json.dumps(header).encode()
    path = planted(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(StoreError, match="its header contradicts itself"):
        open_shard(path)


def test_a_shard_that_vanished_is_not_called_damaged(shard):
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="No such file"):
        open_shard(shard)


def test_rows_of_a_damaged_shard_count_as_not_stored(shard):
    shard.write_bytes(shard.read_bytes()[:-1])
    store = RowStore("maker", {})
    assert IMAGES[0] not in store
    assert "it ends 1 bytes early" in store.damaged[shard]


def test_writing_the_same_rows_again_repairs_a_damaged_shard(shard):
    shard.write_bytes(b"")
    store = RowStore("maker", {})
    store.write(IMAGES, ROWS)
    assert store.damaged == {}
    assert is_intact(shard)


def test_extraction_computes_damaged_rows_again_and_says_so(bench, draw, shards):
    paths = draw(4)
    before = bench().gather(paths).rows.take([0, 1, 2, 3])
    shards()[0].write_bytes(b"torn")
    second = bench()
    after = second.gather(paths)
    assert (after.hits, after.misses) == (0, 4)
    assert all((a == b).all() for a, b in zip(before, after.rows.take([0, 1, 2, 3]), strict=True))
    (note,) = second.said("is damaged")
    assert "`budwood cache verify` removes it" in note
    assert second.gather(paths).hits == 4
    assert len(second.said("is damaged")) == 1
