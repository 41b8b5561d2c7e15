"""Extraction: every image through the trunk once, decoding and network in turns.

`decoded` makes pixels of files and `extract` rows of pixels; what cannot be read goes along.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from budwood.errors import ImageError
from budwood.features.engines import Batch, Engine, Rows
from budwood.features.store import RowCache
from budwood.images.contents import CONTENTS, KEPT_BYTES, Contents
from budwood.images.contents import workers as workers
from budwood.images.decode import Oddities, turn_of
from budwood.images.preprocessing import Preprocessing
from budwood.reporter import SILENT, Progress, Reporter

FLUSH_IMAGES, FLUSH_SECONDS, FLUSH_BYTES = 4096, 2.0, 64 * 2**20
"""Rows reach the disk after this many images, seconds or bytes, whichever comes first."""
FLUSH_SHARE = 0.02
"""... but not before so much of the time so far has passed: a pass of hours that stores rows every
two seconds would leave thousands of files. It is the most that `kill -9` may lose of a pass."""
USUAL_TURN = 16 * 2**20
"""Pixels that are decoded in one turn where the size of the processor's cache is not known."""
GROUP, READ_GROUP = 8, 32
"""Images that a thread decodes, or only reads, without asking for more work."""
COMPACT_TOLERANCE = 1e-3
"""The most that float16 may change rows by, as a share of the spread between images. What bf16
arithmetic does to them is at least ten times as much."""


@dataclass(frozen=True, eq=False, slots=True)
class Decoded:
    """An image that was read."""

    path: Path
    digest: bytes
    """The digest of the file's bytes."""
    pixels: NDArray[np.uint8]
    """`h w c`, as the network takes them."""


@dataclass(frozen=True)
class Unreadable:
    """An image that was not."""

    path: Path
    reason: str


@dataclass(frozen=True, eq=False)
class RowBatch:
    """The rows of some images."""

    digests: Sequence[bytes]
    rows: Rows


Extracted: TypeAlias = RowBatch | Unreadable


def identify(
    paths: Sequence[Path], contents: Contents | None = None
) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """The digest of each file's bytes, and the files that cannot be read with the reason."""
    digests: dict[Path, bytes] = {}
    unreadable: dict[Path, str] = {}
    known = CONTENTS if contents is None else contents
    groups = [paths[i : i + READ_GROUP] for i in range(0, len(paths), READ_GROUP)]

    def identified(group: Sequence[Path]) -> list[bytes | ImageError]:
        return [_identified(path, known) for path in group]

    with _threads() as pool:
        results = chain.from_iterable(pool.map(identified, groups))
        for path, result in zip(paths, results, strict=True):
            if isinstance(result, ImageError):
                unreadable[path] = str(result)
            else:
                digests[path] = result
    return digests, unreadable


def decoded(
    paths: Iterable[Path],
    preprocessing: Preprocessing,
    ahead: int = 0,
    contents: Contents | None = None,
    odd: Oddities | None = None,
) -> Generator[Decoded | Unreadable, None, None]:
    """The pixels of each image, in order, decoded by all cores.

    The cores decode and do the caller's work in turns, each as long as the pixels stay in the
    processor's cache: that is faster than both at once. The first turn has `ahead` bytes of pixels
    at least, and goes on while the caller, once it has the first image, does other things.
    `contents` need not be read again, and `odd` is told what is odd about images.
    """
    kept, oddities = contents or Contents(), odd or Oddities()

    def decode(group: Sequence[Path]) -> list[Decoded | Unreadable]:
        return [_decode_one(path, preprocessing, kept, oddities) for path in group]

    height, width = preprocessing.size
    image_bytes = height * width * len(preprocessing.mean)
    source = iter(paths)
    with _threads() as pool:
        turn = list(islice(source, max(1, max(ahead, turn_bytes()) // image_bytes)))
        under_way = _begun(pool, turn, decode)
        while turn:
            turn = list(islice(source, max(1, turn_bytes() // image_bytes)))
            _announce(path for path in turn if contents is None or path not in contents)
            while under_way:
                yield from under_way.popleft().result()
            under_way = _begun(pool, turn, decode)
            wait(under_way)


def extract(
    images: Generator[Decoded | Unreadable, None, None], engine: Engine
) -> Generator[Extracted, None, None]:
    """The frontier rows of images, a batch at a time, and the images that have none."""
    unreadable: list[Unreadable] = []

    def batches() -> Iterator[tuple[list[bytes], Batch]]:
        while part := list(islice(_readable(images, unreadable), engine.batch)):
            yield [image.digest for image in part], [image.pixels for image in part]

    with closing(images), closing(engine.stream(batches())) as results:
        for digests, rows in results:
            while unreadable:
                yield unreadable.pop(0)
            yield RowBatch(digests, rows)
    yield from unreadable


def counted(results: Iterable[Extracted], total: int, reporter: Reporter) -> Iterator[Extracted]:
    """What `extract` gives, each told as done once it has been dealt with."""
    started, done = time.perf_counter(), 0
    for result in results:
        yield result
        done += 1 if isinstance(result, Unreadable) else len(result.digests)
        reporter.progress(Progress(min(total, done), total, time.perf_counter() - started))


def store_rows(
    results: Generator[Extracted, None, None],
    total: int,
    shelves: Sequence[RowCache],
    *,
    compact: bool = False,
    reporter: Reporter = SILENT,
) -> dict[Path, str]:
    """Store what `extract` gives, a shelf for each tensor; the unreadable images come back.

    Whatever ends it early (Ctrl-C, an error), the rows that were ready are stored first.
    """
    unreadable: dict[Path, str] = {}
    writer = _Writer(shelves, compact)
    try:
        with closing(results):
            for result in counted(results, total, reporter):
                if isinstance(result, Unreadable):
                    unreadable[result.path] = result.reason
                else:
                    writer.add(result)
    finally:
        writer.end()
    for shelf in shelves:
        shelf.merge()
    return unreadable


def compacted(rows: NDArray[Any]) -> NDArray[Any]:
    """The same rows in float16, if they fit; else as they are.

    They fit if no value is too large and the rounding is a thousandth of what the images differ by.
    """
    if rows.dtype != np.float32:
        return rows
    with np.errstate(over="ignore"):
        small = rows.astype(np.float16)
    if not np.isfinite(small).all():
        return rows
    error = np.linalg.norm(small.astype(np.float32) - rows)
    spread = np.linalg.norm(rows - rows.mean(axis=0))
    return small if error < COMPACT_TOLERANCE * spread else rows


class _Writer:
    """Collects rows and has them stored, beside the work, before too many could be lost."""

    def __init__(self, shelves: Sequence[RowCache], compact: bool) -> None:
        self._shelves = shelves
        self._compact = compact
        self._thread = ThreadPoolExecutor(1)
        self._under_way: Future[None] | None = None
        self._digests: list[bytes] = []
        self._rows: list[Rows] = []
        self._bytes = 0
        self._started = self._since = time.monotonic()

    def add(self, batch: RowBatch) -> None:
        self._digests.extend(batch.digests)
        self._rows.append(batch.rows)
        self._bytes += sum(tensor.nbytes for tensor in batch.rows)
        now = time.monotonic()
        old = now - self._since > max(FLUSH_SECONDS, FLUSH_SHARE * (now - self._started))
        if old or len(self._digests) >= FLUSH_IMAGES or self._bytes >= FLUSH_BYTES:
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
        if self._digests:
            self._under_way = self._thread.submit(self._store, self._digests, self._rows)
        self._digests, self._rows, self._bytes = [], [], 0
        self._since = time.monotonic()

    def _wait(self) -> None:
        """Until the last rows are stored; raises what went wrong with them."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _store(self, digests: list[bytes], rows: list[Rows]) -> None:
        for shelf, parts in zip(self._shelves, zip(*rows, strict=True), strict=True):
            together = np.concatenate(parts)
            shelf.write(digests, compacted(together) if self._compact else together)


def _readable(
    images: Iterable[Decoded | Unreadable], unreadable: list[Unreadable]
) -> Iterator[Decoded]:
    for image in images:
        if isinstance(image, Decoded):
            yield image
        else:
            unreadable.append(image)


@cache
def turn_bytes() -> int:
    """Pixels that are decoded in one turn: a good half of the largest cache, if it is known, and
    no more than memory is used for anyway."""
    try:
        largest = os.sysconf("SC_LEVEL3_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Linux
        largest = 0
    return min(int(0.6 * largest), KEPT_BYTES) or USUAL_TURN


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """One thread for each core; at the end, whatever ends it, nothing new is begun."""
    with ThreadPoolExecutor(workers()) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _identified(path: Path, contents: Contents) -> bytes | ImageError:
    try:
        with turn_of(path):
            return contents.digest_of(path)
    except ImageError as problem:
        return problem


def _begun(
    pool: ThreadPoolExecutor,
    paths: Sequence[Path],
    decode: Callable[[Sequence[Path]], list[Decoded | Unreadable]],
) -> deque[Future[list[Decoded | Unreadable]]]:
    """The images on their way through the decoders, a few to each thread at a time."""
    size = max(1, min(GROUP, len(paths) // (2 * workers())))
    return deque(pool.submit(decode, paths[i : i + size]) for i in range(0, len(paths), size))


def _announce(paths: Iterable[Path]) -> None:
    """Let the system read the files of the next turn while the network works."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError), path.open("rb") as file:  # what is wrong is said when it is read
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _decode_one(
    path: Path, preprocessing: Preprocessing, contents: Contents, odd: Oddities
) -> Decoded | Unreadable:
    try:
        with turn_of(path):
            digest, data = contents.take(path)
            return Decoded(path, digest, preprocessing.pixels(data, odd.of(path)))
    except ImageError as problem:
        return Unreadable(path, str(problem))
