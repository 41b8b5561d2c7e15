"""Extraction: in order, in bounded memory, and never losing what was ready."""

import threading
import time

import numpy as np
import pytest
import torch

from budwood.features import extraction
from budwood.features.engines import EngineSpec
from budwood.features.extraction import (
    Decoded,
    Progress,
    RowBatch,
    Unreadable,
    decoded,
    extract,
    identify,
    store_rows,
    workers,
)
from budwood.features.store import RowStore
from budwood.features.torch_engine import TorchEngine
from budwood.images import contents
from budwood.images.contents import Contents, digest
from budwood.reporter import SILENT, Reporter


@pytest.fixture
def run(trunk, tiny):
    """Extracts with the tiny trunk in torch; gives back the store and what was broken."""

    def extract_tiny(paths, batch=4, reporter=SILENT):
        store = RowStore("maker", {})
        engine = TorchEngine(trunk(), EngineSpec("torch", "fp32"))
        engine.batch = batch
        results = extract(decoded(paths, tiny.preprocessing), engine)
        return store, store_rows(results, len(paths), [store], reporter=reporter)

    return extract_tiny


@pytest.fixture
def unreadable_image(tmp_path):
    def make(name):
        path = tmp_path / name
        path.write_bytes(b"no photo: " + name.encode())
        return path

    return make


def test_photos_are_known_by_their_bytes(draw):
    paths = draw(3)
    digests, broken = identify(paths)
    assert digests == {path: digest(path.read_bytes()) for path in paths}
    assert broken == {}


def test_a_photo_that_cannot_be_read_is_named(draw, tmp_path):
    paths = [*draw(2), tmp_path / "gone.jpg"]
    digests, broken = identify(paths)
    assert list(digests) == paths[:2]
    assert list(broken) == paths[2:]
    assert "Check that the file is there" in broken[paths[2]]


def test_a_file_that_was_kept_is_not_read_again(draw, tiny):
    paths, known = draw(5), Contents()
    digests, _ = identify(paths, known)
    expected = [tiny.preprocessing.pixels(path.read_bytes()) for path in paths]
    for path in paths:
        path.unlink()
    found = list(decoded(paths, tiny.preprocessing, contents=known))
    assert [image.digest for image in found] == list(digests.values())
    for image, right in zip(found, expected, strict=True):
        np.testing.assert_array_equal(image.pixels, right)
    assert not any(path in known for path in paths)  # each is let go


def test_no_more_files_are_kept_than_there_is_room_for(draw, tiny, monkeypatch):
    paths = draw(6)
    sizes = [path.stat().st_size for path in paths]
    monkeypatch.setattr(contents, "KEPT_BYTES", sum(sizes[:4]))
    known = Contents()
    for _ in range(2):  # taking them gives the room back
        identify(paths, known)
        assert 1 <= sum(path in known for path in paths) < 6
        assert len(list(decoded(paths, tiny.preprocessing, contents=known))) == 6
        for path in paths:
            path.touch()


def test_photos_are_decoded_in_order(draw, tiny):
    paths = draw(40)[::-1]
    found = list(decoded(paths, tiny.preprocessing))
    assert [image.path for image in found] == paths
    for image in found:
        data = image.path.read_bytes()
        assert image.digest == digest(data)
        np.testing.assert_array_equal(image.pixels, tiny.preprocessing.pixels(data))


def test_a_photo_that_cannot_be_decoded_comes_in_its_place_with_the_reason(
    draw, tiny, unreadable_image
):
    good, bad = draw(3), unreadable_image("bad.jpg")
    paths = [good[0], bad, *good[1:]]
    found = list(decoded(paths, tiny.preprocessing))
    assert [image.path for image in found] == paths
    assert [type(image) for image in found] == [Decoded, Unreadable, Decoded, Decoded]
    assert found[1].reason


def test_rows_and_what_is_unreadable_come_out_of_one_function(draw, tiny, trunk, unreadable_image):
    paths = [*draw(5), unreadable_image("a.jpg"), *draw(2, first=5), unreadable_image("b.jpg")]
    engine = TorchEngine(trunk(), EngineSpec("torch", "fp32"))
    results = list(extract(decoded(paths, tiny.preprocessing), engine))
    batches = [result for result in results if isinstance(result, RowBatch)]
    assert [len(batch.digests) for batch in batches] == [4, 3]
    good = [path for path in paths if path.suffix == ".png"]
    digests = [one for batch in batches for one in batch.digests]
    assert digests == [digest(path.read_bytes()) for path in good]
    pixels = [tiny.preprocessing.pixels(path.read_bytes()) for path in good]
    rows = np.concatenate([batch.rows[0] for batch in batches])
    np.testing.assert_allclose(rows, engine.run(pixels)[0], rtol=1e-5, atol=1e-6)
    unreadable = [result.path.name for result in results if isinstance(result, Unreadable)]
    assert unreadable == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(("first", "turn"), [(6, 6), (9, 4), (12, 2)])
def test_decoding_runs_only_a_turn_ahead(first, turn, draw, tiny, monkeypatch):
    begun, real = [], extraction._decode_one
    monkeypatch.setattr(
        extraction, "_decode_one", lambda *args: begun.append(args[0]) or real(*args)
    )
    monkeypatch.setattr(extraction, "turn_bytes", lambda: turn * 32 * 32 * 3)
    paths = draw(30)
    images = decoded(paths, tiny.preprocessing, ahead=first * 32 * 32 * 3)
    for consumed, path in enumerate(paths, 1):
        assert next(images).path == path
        time.sleep(0.01)  # a slow consumer
        ends = [first, *range(first + turn, 60, turn)]
        assert len(begun) <= next(end for end in ends if end >= consumed)
    images.close()


def test_a_turn_fits_into_the_cache_or_is_of_the_usual_size(monkeypatch):
    turn_bytes = extraction.turn_bytes.__wrapped__
    monkeypatch.setattr(extraction.os, "sysconf", lambda name: 100 * 2**20, raising=False)
    assert turn_bytes() == 60 * 2**20
    monkeypatch.setattr(extraction.os, "sysconf", lambda name: 2**30)
    assert turn_bytes() == 128 * 2**20
    monkeypatch.setattr(extraction.os, "sysconf", lambda name: 0)
    assert turn_bytes() == extraction.USUAL_TURN
    monkeypatch.delattr(extraction.os, "sysconf")
    assert turn_bytes() == extraction.USUAL_TURN


def test_what_has_not_begun_is_dropped_when_decoding_is_left(draw, tiny, monkeypatch):
    gate, begun, real = threading.Event(), [], extraction._decode_one

    def decode(path, *settings):
        begun.append(path)
        if path != paths[0]:
            gate.wait(10)
        return real(path, *settings)

    monkeypatch.setattr(extraction, "_decode_one", decode)
    monkeypatch.setattr(extraction, "GROUP", 1)
    paths = draw(20)
    images = decoded(paths, tiny.preprocessing)
    next(images)
    threading.Timer(0.1, gate.set).start()
    images.close()
    assert len(begun) <= 1 + workers()
    assert extraction.turn_bytes() > 20 * 32 * 32 * 3  # all of them were waiting


def test_progress_rises_to_the_number_of_photos(draw, run, unreadable_image):
    told = []
    paths = [*draw(5), unreadable_image("a.jpg"), *draw(4, first=5), unreadable_image("b.jpg")]
    _, broken = run(paths, batch=3, reporter=Reporter(progress=told.append))
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total == 11
    assert len(broken) == 2


def test_progress_reaches_the_end_if_the_last_photos_are_broken(run, draw, unreadable_image):
    told = []
    run(
        [*draw(2), unreadable_image("a.jpg"), unreadable_image("b.jpg")],
        batch=1,
        reporter=Reporter(progress=told.append),
    )
    assert told[-1].done == 4


def test_progress_tells_speed_and_time_left():
    progress = Progress(done=20, total=50, seconds=4.0)
    assert progress.images_per_second == 5
    assert progress.seconds_left == 6
    assert Progress(0, 50, 0.0).images_per_second == 0
    assert Progress(0, 50, 1.0).seconds_left is None


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [("FLUSH_IMAGES", 6, [8, 8, 4]), ("FLUSH_BYTES", 10 * 64, [12, 8]), ("none", 0, [20])],
)
def test_rows_reach_the_disk_as_they_come(limit, value, expected, run, draw, monkeypatch):
    monkeypatch.setattr(extraction, limit, value, raising=False)
    sizes, write = [], RowStore.write
    monkeypatch.setattr(RowStore, "write", lambda *args: sizes.append(len(args[1])) or write(*args))
    run(draw(20), batch=4)
    assert sizes == expected


def test_rows_reach_the_disk_after_two_seconds(run, draw, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(extraction.time, "monotonic", lambda: now[0])
    stored, write = [], RowStore.write
    monkeypatch.setattr(
        RowStore, "write", lambda *args: stored.append((now[0], len(args[1]))) or write(*args)
    )
    run(draw(20), batch=2, reporter=Reporter(progress=lambda _: now.__setitem__(0, now[0] + 0.7)))
    assert stored[0] == (pytest.approx(2.1), 8)
    assert sum(count for _, count in stored) == 20


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_it_early_the_rows_that_were_ready_are_stored(error, run, draw):
    paths = draw(40)

    def stop(progress):
        if progress.done >= 12:
            raise error

    with pytest.raises(error):
        run(paths, batch=4, reporter=Reporter(progress=stop))
    store = RowStore("maker", {})
    assert [digest(path.read_bytes()) in store for path in paths] == [True] * 12 + [False] * 28


def test_the_engine_is_free_again_while_the_error_is_still_at_hand(draw, tiny, trunk):
    states = []

    class Observed(TorchEngine):
        def stream(self, batches):
            try:
                yield from super().stream(batches)
            finally:
                states.append("closed")

    def stop(_):
        raise KeyboardInterrupt

    engine = Observed(trunk(), EngineSpec("torch", "fp32"))
    store = RowStore("maker", {})
    results = extract(decoded(draw(8), tiny.preprocessing), engine)
    with pytest.raises(KeyboardInterrupt) as caught:
        store_rows(results, 8, [store], reporter=Reporter(progress=stop))
    assert caught.tb is not None  # it keeps the generator alive
    assert states == ["closed"]


def test_no_thread_is_left_after_an_interrupt(run, draw):
    before = threading.active_count()

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(draw(60), batch=4, reporter=Reporter(progress=stop))
    assert threading.active_count() == before


def test_torch_keeps_its_threads(run, draw):
    before = torch.get_num_threads(), torch.get_num_interop_threads()
    run(draw(10))
    assert (torch.get_num_threads(), torch.get_num_interop_threads()) == before
