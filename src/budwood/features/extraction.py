"""Extraction: every photo through the trunk once, decoding and network at the same time."""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.errors import PhotoError
from budwood.features.compacting import compacted
from budwood.features.engines import QUICK_BATCH, SLOW_BATCH, Engine, Rows
from budwood.features.pace import Pace
from budwood.features.store import Shelf
from budwood.images.preprocessing import Preprocessing
from budwood.images.reading import digest, read

FLUSH_PHOTOS, FLUSH_SECONDS, FLUSH_BYTES = 4096, 2.0, 64 * 2**20
"""Rows reach the disk after this many photos, seconds or bytes, whichever comes first."""
BATCH_SECONDS, BATCH_PHOTOS = 1.2, 16
"""A batch is no longer than this: it bounds memory, and how long Ctrl-C takes."""
QUICK_SECONDS = 0.005
"""A network that takes less than this for a photo is quick."""
AHEAD_BYTES = 128 * 2**20
"""Pixels that are decoded while the network is still being compiled."""
USUAL_TURN = 16 * 2**20
"""Pixels that are decoded in one turn where the size of the processor's cache is not known."""
WAITED_SECONDS = 0.002
"""Photos that come later than this had to be decoded first."""
GROUP, READ_GROUP = 8, 32
"""Photos that a thread decodes, or only reads, without asking for more work."""


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
Decoded = tuple[Path, bytes, NDArray[np.uint8]]
"""A photo's path, its digest and its pixels `h w c`."""
Outcome = tuple[bytes, NDArray[np.uint8]] | PhotoError
"""Digest and pixels of a photo, or why it cannot be decoded."""


def workers() -> int:
    """Threads that decode photos: one for each core this process may use."""
    available = getattr(os, "sched_getaffinity", None)
    return max(1, len(available(0)) if available else os.cpu_count() or 1)


def identify(paths: Sequence[Path]) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """The digest of each photo's bytes, and the photos that cannot be read with the reason."""
    digests: dict[Path, bytes] = {}
    broken: dict[Path, str] = {}
    groups = [paths[i : i + READ_GROUP] for i in range(0, len(paths), READ_GROUP)]
    with _threads() as pool:
        results = chain.from_iterable(pool.map(_identify_several, groups))
        for path, result in zip(paths, results, strict=True):
            if isinstance(result, PhotoError):
                broken[path] = str(result)
            else:
                digests[path] = result
    return digests, broken


def decoded(
    paths: Iterable[Path],
    preprocessing: Preprocessing,
    broken: dict[Path, str],
    ahead: int = 0,
) -> Generator[Decoded, None, None]:
    """Each photo's path, digest and pixels `h w c`, in order, decoded by all cores.

    The cores decode and do the caller's work in turns, each as long as the pixels stay in the
    processor's cache: that is faster than both at once.

    Args:
        paths: Photos.
        preprocessing: From file bytes to pixels.
        broken: Photos that cannot be decoded are left out and put here with the reason.
        ahead: Pixels of the first turn at least. It goes on while the caller, once it has the first
            photo, does other things.
    """
    height, width = preprocessing.size
    photo_bytes = height * width * len(preprocessing.mean)
    source = iter(paths)
    with _threads() as pool:
        turn = list(islice(source, max(1, max(ahead, turn_bytes()) // photo_bytes)))
        under_way = _begun(pool, turn, preprocessing)
        while turn:
            turn = list(islice(source, max(1, turn_bytes() // photo_bytes)))
            _announce(turn)
            while under_way:
                for path, outcome in under_way.popleft().result():
                    if isinstance(outcome, PhotoError):
                        broken[path] = str(outcome)
                    else:
                        yield path, *outcome
            under_way = _begun(pool, turn, preprocessing)
            wait(under_way)


@cache
def turn_bytes() -> int:
    """Pixels that are decoded in one turn: a good half of the largest cache, if it is known."""
    try:
        largest = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Linux
        largest = 0
    return int(0.6 * largest) or USUAL_TURN


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
        writer.flush()
    report()  # the last photos may all be broken


class _Writer:
    """Collects rows and hands them to the stores before too many could be lost."""

    def __init__(self, stores: Sequence[Shelf], compact: bool) -> None:
        self._stores = stores
        self._compact = compact
        self._photos: list[bytes] = []
        self._rows: list[Rows] = []
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, photos: Sequence[bytes], rows: Rows) -> None:
        self._photos.extend(photos)
        self._rows.append(rows)
        self._bytes += sum(tensor.nbytes for tensor in rows)
        old = time.monotonic() - self._since > FLUSH_SECONDS
        if old or len(self._photos) >= FLUSH_PHOTOS or self._bytes >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        photos, rows = self._photos, self._rows
        self._photos, self._rows, self._bytes = [], [], 0
        if photos:
            for store, parts in zip(self._stores, zip(*rows, strict=True), strict=True):
                together = np.concatenate(parts)
                store.write(photos, compacted(together) if self._compact else together)
        self._since = time.monotonic()


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


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """One thread for each core; at the end, whatever ends it, nothing new is begun."""
    with ThreadPoolExecutor(workers()) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _identify_several(paths: Sequence[Path]) -> list[bytes | PhotoError]:
    return [_identified(path) for path in paths]


def _identified(path: Path) -> bytes | PhotoError:
    try:
        return digest(read(path))
    except PhotoError as problem:
        return problem


def _begun(
    pool: ThreadPoolExecutor, paths: Sequence[Path], preprocessing: Preprocessing
) -> deque[Future[list[tuple[Path, Outcome]]]]:
    """The photos on their way through the decoders, a few to each thread at a time."""
    size = max(1, min(GROUP, len(paths) // (2 * workers())))
    groups = (paths[i : i + size] for i in range(0, len(paths), size))
    return deque(pool.submit(_decode_several, group, preprocessing) for group in groups)


def _announce(paths: Sequence[Path]) -> None:
    """Let the system read the files of the next turn while the network works."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError), path.open("rb") as file:  # what is wrong is said when it is read
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _decode_several(
    paths: Sequence[Path], preprocessing: Preprocessing
) -> list[tuple[Path, Outcome]]:
    return [(path, _decode_one(path, preprocessing)) for path in paths]


def _decode_one(path: Path, preprocessing: Preprocessing) -> Outcome:
    try:
        data = read(path)
        return digest(data), preprocessing.pixels(data)
    except PhotoError as problem:
        return problem
