"""The feature store: what goes in comes out, under names that say what it is."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from budwood.errors import StoreError
from budwood.features.shards import is_intact, open_shard
from budwood.features.store import (
    MemoryCache,
    RowStore,
    maker_key,
    store_folder,
    stored_bytes,
    stored_makers,
)

SETTINGS = {"size": [224, 224], "interpolation": "bicubic"}


def image(i):
    return hashlib.blake2b(str(i).encode(), digest_size=16).digest()


def images(count, first=0):
    return [image(i) for i in range(first, first + count)]


def rows(count, shape=(4,), seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


@pytest.fixture
def fresh_home(monkeypatch, tmp_path_factory):
    """A new home each time: hypothesis runs many examples in one test."""
    return lambda: monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path_factory.mktemp("home")))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    dtype=st.sampled_from([np.float32, np.float64, np.float16, np.uint8, np.int64, np.bool_]),
    shape=st.lists(st.integers(1, 4), max_size=3),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_rows_come_back_as_they_were_written(data, dtype, shape, counts, fresh_home):
    fresh_home()
    store, written, keys = RowStore("maker", {}), [], []
    for count in counts:
        part = data.draw(arrays.arrays(dtype, (count, *shape)))
        new = images(count, first=len(keys))
        store.write(new, part)
        written.extend(part)
        keys.extend(new)
    order = data.draw(st.lists(st.integers(0, len(keys) - 1), min_size=1, max_size=12))
    expected = np.stack([written[i] for i in order])
    for reader in (store, RowStore("maker", {})):
        found = reader.at(reader.locate([keys[i] for i in order]))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_a_shard_is_named_by_the_digest_of_its_content(shards):
    RowStore("maker", {}).write(images(3), rows(3))
    (shard,) = shards()
    assert shard.stem == hashlib.blake2b(shard.read_bytes(), digest_size=16).hexdigest()
    assert is_intact(shard)


def test_writing_the_same_rows_twice_makes_one_shard(shards):
    for _ in range(2):
        RowStore("maker", {}).write(images(3), rows(3))
    assert len(shards()) == 1


def test_the_first_of_two_rows_of_a_photo_counts():
    store = RowStore("maker", {})
    store.write(images(1), rows(1, seed=1))
    store.write(images(1), rows(1, seed=2))
    np.testing.assert_array_equal(store.at(store.locate(images(1))), rows(1, seed=1))
    assert len(store) == 1


def test_a_store_knows_which_photos_it_has():
    store = RowStore("maker", {})
    store.write(images(2), rows(2))
    assert image(0) in store
    assert image(2) not in store
    with pytest.raises(KeyError):
        store.at(store.locate([image(2)]))


def test_refresh_takes_in_what_another_writer_stored():
    mine, other = RowStore("maker", {}), RowStore("maker", {})
    other.write(images(2), rows(2))
    assert image(0) not in mine
    mine.refresh()
    np.testing.assert_array_equal(mine.at(mine.locate(images(2))), rows(2))


def test_rows_are_mapped_and_not_read(shards):
    RowStore("maker", {}).write(images(2), rows(2))
    assert isinstance(open_shard(shards()[0]).rows.base, np.memmap)


def test_other_users_may_read_what_was_stored(shards, budwood_home):
    plain = budwood_home / "plain"
    plain.touch()
    RowStore("maker", {}).write(images(2), rows(2))
    assert shards()[0].stat().st_mode == plain.stat().st_mode


def test_what_made_the_rows_is_written_beside_them():
    RowStore("maker", {"engine": "torch", "shape": [4]}).write(images(1), rows(1))
    (folder,) = stored_makers()
    assert json.loads((folder / "about.json").read_text()) == {"engine": "torch", "shape": [4]}


def test_stored_bytes_are_those_of_all_makers(shards):
    assert stored_bytes() == 0
    for maker in ("one", "two"):
        RowStore(maker, {}).write(images(2), rows(2))
    assert stored_bytes() == sum(path.stat().st_size for path in shards()) > 0


def test_a_leftover_partial_file_is_never_read(shards):
    RowStore("maker", {}).write(images(2), rows(2))
    whole = shards()[0]
    whole.rename(whole.with_name(f".{whole.name}.0123.partial"))
    store = RowStore("maker", {})
    assert len(store) == 0
    assert store.damaged == {}


TEXT = st.text("abcdef0123456789", min_size=1, max_size=6)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_a_maker_key_changes_exactly_if_an_input_changes(one, other):
    keys = [maker_key(graph, {"size": size}, engine) for graph, size, engine in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@pytest.mark.parametrize("field", SETTINGS)
def test_a_maker_key_depends_on_every_preprocessing_field(field):
    other = {**SETTINGS, field: "other"}
    assert maker_key("graph", SETTINGS, "torch") != maker_key("graph", other, "torch")


def test_a_maker_key_does_not_depend_on_the_order_of_fields():
    backwards = dict(reversed(SETTINGS.items()))
    assert maker_key("graph", SETTINGS, "torch") == maker_key("graph", backwards, "torch")


def test_memory_lies_over_the_store_and_never_reaches_it(shards):
    below = RowStore("maker", {})
    below.write(images(2), rows(2))
    shelf = MemoryCache(below)
    shelf.write(images(2, first=2), rows(2, seed=1))
    assert all(key in shelf for key in images(4))
    assert image(4) not in shelf
    mixed = [image(3), image(0), image(3), image(2), image(1)]
    expected = np.concatenate([rows(2), rows(2, seed=1)])[[3, 0, 3, 2, 1]]
    np.testing.assert_array_equal(shelf.at(shelf.locate(mixed)), expected)
    assert len(shards()) == 1


def test_a_home_that_cannot_be_written_says_what_to_do(budwood_home):
    store_folder().write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="set BUDWOOD_HOME to a larger one"):
        RowStore("maker", {}).write(images(1), rows(1))
