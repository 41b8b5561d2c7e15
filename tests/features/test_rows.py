"""Where the training loop gets its rows from makes no difference to it."""

import numpy as np
import pytest
import torch

from budwood.errors import ImageError
from budwood.features import rows
from budwood.features.engines import EngineSpec
from budwood.features.rows import LiveRows, RowSubset, StoredRows
from budwood.features.store import RowStore
from budwood.features.torch_engine import TorchEngine

IMAGES = [bytes([i]) * 16 for i in range(6)]
FIRST = np.arange(12, dtype=np.float32).reshape(6, 2)
SECOND = np.arange(6, dtype=np.int64)


@pytest.fixture
def stored():
    """Two stores of six rows, of numbers that tell photo and store."""
    stores = [RowStore("one", {}), RowStore("two", {})]
    for store, values in zip(stores, (FIRST, SECOND), strict=True):
        store.write(IMAGES, values)
    return StoredRows(stores, IMAGES[::-1], row_bytes=16)


@pytest.fixture(params=["read once", "mapped"])
def source(request, monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 2**20 if request.param == "read once" else 0)
    return request.getfixturevalue("stored")


def test_rows_are_taken_by_position(source):
    first, second = source.take([5, 0, 5])
    assert first.tolist() == [[0, 1], [10, 11], [0, 1]]
    assert second.tolist() == [0, 5, 0]
    assert len(source) == 6


def test_rows_that_were_taken_may_be_written_to(source):
    source.take([0, 1])[0].zero_()
    assert source.take([0, 1])[0].tolist() == [[10, 11], [8, 9]]


def test_a_selection_counts_from_its_own_start(source):
    part = RowSubset(source, [1, 3, 5])
    assert len(part) == 3
    assert part.take([2, 0])[1].tolist() == [0, 4]


def test_a_selection_may_leave_tensors_out(source):
    (only,) = RowSubset(source, [0, 1], tensors=[1]).take([1])
    assert only.tolist() == [4]


def test_a_selection_of_a_selection_is_one(source):
    part = RowSubset(RowSubset(source, [1, 3, 5]), [2, 1])
    assert part.take([0, 1])[1].tolist() == [0, 2]


@pytest.fixture
def live(trunk, tiny, draw):
    paths = draw(7)
    engine = TorchEngine(trunk(), EngineSpec("torch", "fp32"))
    return paths, LiveRows(paths, tiny.preprocessing, engine)


def test_live_rows_are_taken_by_position(live):
    _, source = live
    every = torch.cat([source.take([i])[0] for i in range(len(source))])
    torch.testing.assert_close(source.take([6, 0, 3, 3, 1])[0], every[[6, 0, 3, 3, 1]])


def test_a_photo_that_vanishes_while_training_is_an_error(live):
    paths, source = live
    paths[2].unlink()
    with pytest.raises(ImageError, match="Leave the photos in place while training"):
        source.take([0, 2])
