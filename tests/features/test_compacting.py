"""Rows in float16 where nothing is lost that counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from budwood.features.extraction import COMPACT_TOLERANCE as TOLERANCE
from budwood.features.extraction import compacted
from budwood.features.store import MemoryCache, RowStore

values = st.floats(-1e5, 1e5, width=32)


@given(arrays(np.float32, (5, 3), elements=values))
def test_what_is_made_smaller_is_as_good_as_the_same(rows):
    small = compacted(rows)
    assert small.dtype in (np.float16, np.float32)
    spread = np.linalg.norm(rows - rows.mean(0))
    assert np.linalg.norm(small.astype(np.float32) - rows) <= TOLERANCE * spread


@pytest.mark.parametrize(
    "rows",
    [
        np.array([[1.0], [70_000.0]], np.float32),
        np.array([[1e-9], [2e-9]], np.float32),
        np.array([[1000.0], [1000.01]], np.float32),
        np.array([[3.3]], np.float32),
        np.array([[1.0], [2.0]], np.float64),
        np.array([[1], [2]], np.uint8),
    ],
    ids=["too large", "too small", "too alike", "a single one", "float64", "pixels"],
)
def test_what_would_suffer_stays_as_it_is(rows):
    assert compacted(rows) is rows


def test_small_and_large_shards_are_read_as_one(budwood_home):
    store = RowStore("maker", {})
    small, large = (np.array([[value]], kind) for value, kind in ((1.5, "f2"), (1e6, "f4")))
    store.write([b"a" * 16], small)
    store.write([b"b" * 16], large)
    for shelf in (store, MemoryCache(store), RowStore("maker", {})):
        rows = shelf.at(shelf.locate([b"b" * 16, b"a" * 16]))
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, [[1e6], [1.5]])


def test_rows_of_exact_arithmetic_are_stored_exactly(bench, draw, shards):
    bench(precision="fp32").gather(draw(5))
    from budwood.features.shards import open_shard

    assert {open_shard(path).rows.dtype for path in shards()} == {np.dtype(np.float32)}
