"""Extraction: every photo through the trunk once, decoding and network at the same time."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.features.compacting import compacted
from budwood.features.engines import QUICK_BATCH, SLOW_BATCH, Engine, Rows
from budwood.features.pace import Pace
from budwood.features.reading_ahead import Decoded
from budwood.features.store import Shelf

FLUSH_PHOTOS, FLUSH_SECONDS, FLUSH_BYTES = 4096, 2.0, 64 * 2**20
"""Rows reach the disk after this many photos, seconds or bytes, whichever comes first."""
FLUSH_SHARE = 0.02
"""... but not before so much of the time so far has passed: a pass of hours that stores rows every
two seconds would leave thousands of files. It is the most that `kill -9` may lose of a pass."""
BATCH_SECONDS, BATCH_PHOTOS = 1.2, 16
"""A batch is no longer than this: it bounds memory, and how long Ctrl-C takes."""
QUICK_SECONDS = 0.005
"""A network that takes less than this for a photo is quick."""
AHEAD_BYTES = 128 * 2**20
"""Pixels that are decoded while the network is still being compiled."""
WAITED_SECONDS = 0.002
"""Photos that come later than this had to be decoded first."""


@dataclass(frozen=True)
class Progress:
    """How far a pass over the photos has come."""

    done: int
    total: int
    seconds: float

    @property
    def photos_per_second(self) -> float:
        """Average speed so far."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the average speed; None before the first photo."""
        return (self.total - self.done) / self.photos_per_second if self.done else None


OnProgress = Callable[[Progress], None]


def batch_size(seconds_per_photo: float) -> int:
    """The most photos in a batch for a trunk of this speed."""
    return int(min(BATCH_PHOTOS, max(1, BATCH_SECONDS / max(seconds_per_photo, 1e-6))))


def pace_for(seconds_per_photo: float, photos: int) -> Pace:
    """The pace to begin with for a trunk of this speed and so many photos."""
    largest = batch_size(seconds_per_photo)
    usual = QUICK_BATCH if seconds_per_photo < QUICK_SECONDS else SLOW_BATCH
    return Pace(min(usual, largest), largest, photos)


def extract(
    photos: Generator[Decoded, None, None],
    total: int,
    engine: Engine,
    stores: Sequence[Shelf],
    pace: Pace,
    broken: Mapping[Path, str],
    on_progress: OnProgress | None = None,
    compact: bool = False,
) -> None:
    """Store the frontier rows of decoded photos.

    Whatever ends it early (Ctrl-C, an error), the rows that were ready are stored first.

    Args:
        photos: What `decoded` gives of photos that are not stored yet.
        total: How many photos were to be decoded.
        engine: A trusted engine.
        stores: One for each tensor that the engine returns, in its order.
        pace: How many photos go into a batch.
        broken: Where `decoded` puts what cannot be decoded; it counts as done.
        on_progress: Told after each batch, and at the end.
        compact: Whether rows may be stored in float16.

    Raises:
        StoreError: If the disk is full; what was stored is kept.
    """
    started, done = time.perf_counter(), 0
    writer = _Writer(stores, compact)

    def report() -> None:
        if on_progress:
            seconds = time.perf_counter() - started
            on_progress(Progress(min(total, done + len(broken)), total, seconds))

    try:
        with (
            closing(photos),
            closing(engine.stream(_batches(photos, pace, engine))) as results,
        ):
            for names, rows in results:
                pace.took(len(names), time.perf_counter())
                writer.add(names, rows)
                done += len(names)
                report()
    finally:
        writer.end()
    for store in stores:
        store.merge()
    report()  # the last photos may all be broken


class _Writer:
    """Collects rows and has them stored, beside the work, before too many could be lost."""

    def __init__(self, stores: Sequence[Shelf], compact: bool) -> None:
        self._stores = stores
        self._compact = compact
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None
        self._photos: list[bytes] = []
        self._rows: list[Rows] = []
        self._bytes = 0
        self._started = self._since = time.monotonic()

    def add(self, photos: Sequence[bytes], rows: Rows) -> None:
        self._photos.extend(photos)
        self._rows.append(rows)
        self._bytes += sum(tensor.nbytes for tensor in rows)
        now = time.monotonic()
        old = now - self._since > max(FLUSH_SECONDS, FLUSH_SHARE * (now - self._started))
        if old or len(self._photos) >= FLUSH_PHOTOS or self._bytes >= FLUSH_BYTES:
            self._flush()

    def end(self) -> None:
        """Store what is left and wait until all is stored."""
        try:
            self._flush()
            self._wait()
        finally:
            self._thread.shutdown()

    def _flush(self) -> None:
        self._wait()
        if self._photos:
            self._under_way = self._thread.submit(self._store, self._photos, self._rows)
        self._photos, self._rows, self._bytes = [], [], 0
        self._since = time.monotonic()

    def _wait(self) -> None:
        """Until the last rows are stored; raises what went wrong with them."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _store(self, photos: list[bytes], rows: list[Rows]) -> None:
        for store, parts in zip(self._stores, zip(*rows, strict=True), strict=True):
            together = np.concatenate(parts)
            store.write(photos, compacted(together) if self._compact else together)


def in_batches(
    photos: Iterator[Decoded],
    total: int,
    size: int,
    broken: Mapping[Path, str],
    on_progress: OnProgress | None,
) -> Iterator[tuple[None, list[NDArray[np.uint8]]]]:
    """Decoded photos in batches for an engine; how many have been handed out is told."""
    started, done = time.perf_counter(), 0
    while part := [pixels for _, _, pixels in islice(photos, size)]:
        yield None, part
        done += len(part)
        if on_progress:
            on_progress(Progress(done + len(broken), total, time.perf_counter() - started))


def _batches(
    photos: Iterator[Decoded], pace: Pace, engine: Engine
) -> Iterator[tuple[list[bytes], list[NDArray[np.uint8]]]]:
    while True:
        engine.expect(None if pace.is_trial else pace.size)
        asked = time.perf_counter()
        part = list(islice(photos, pace.size))
        if not part:
            return
        pace.sent(len(part), waited=time.perf_counter() - asked > WAITED_SECONDS)
        yield [photo for _, photo, _ in part], [pixels for _, _, pixels in part]
