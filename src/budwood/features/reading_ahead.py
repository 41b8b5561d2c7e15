"""Photos on their way from files to pixels: each read once, decoded by all cores in turns."""

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from budwood.errors import PhotoError
from budwood.images.contents import CONTENTS, KEPT_BYTES, Contents
from budwood.images.gate import turn_of
from budwood.images.oddities import Oddities
from budwood.images.preprocessing import Preprocessing
from budwood.images.reading import workers as workers

USUAL_TURN = 16 * 2**20
"""Pixels that are decoded in one turn where the size of the processor's cache is not known."""
GROUP, READ_GROUP = 8, 32
"""Photos that a thread decodes, or only reads, without asking for more work."""

Decoded = tuple[Path, bytes, NDArray[np.uint8]]
"""A photo's path, its digest and its pixels `h w c`."""
Outcome = tuple[bytes, NDArray[np.uint8]] | PhotoError
"""Digest and pixels of a photo, or why it cannot be decoded."""


def identify(
    paths: Sequence[Path], contents: Contents | None = None
) -> tuple[dict[Path, bytes], dict[Path, str]]:
    """The digest of each photo's bytes, and the photos that cannot be read with the reason.

    Args:
        paths: Photos.
        contents: Knows the digests of files it has read, and keeps the bytes as far as it has
            room; None for what this process knows.
    """
    digests: dict[Path, bytes] = {}
    broken: dict[Path, str] = {}
    contents = CONTENTS if contents is None else contents
    groups = [paths[i : i + READ_GROUP] for i in range(0, len(paths), READ_GROUP)]
    with _threads() as pool:
        results = chain.from_iterable(pool.map(partial(_identify_several, contents), groups))
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
    contents: Contents | None = None,
    odd: Oddities | None = None,
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
        contents: Files that need not be read again.
        odd: Told what is odd about photos that are decoded.
    """
    odd = Oddities() if odd is None else odd
    contents = Contents() if contents is None else contents
    height, width = preprocessing.size
    photo_bytes = height * width * len(preprocessing.mean)
    source = iter(paths)
    with _threads() as pool:
        turn = list(islice(source, max(1, max(ahead, turn_bytes()) // photo_bytes)))
        under_way = _begun(pool, turn, preprocessing, contents, odd)
        while turn:
            turn = list(islice(source, max(1, turn_bytes() // photo_bytes)))
            _announce(path for path in turn if path not in contents)
            while under_way:
                for path, outcome in under_way.popleft().result():
                    if isinstance(outcome, PhotoError):
                        broken[path] = str(outcome)
                    else:
                        yield path, *outcome
            under_way = _begun(pool, turn, preprocessing, contents, odd)
            wait(under_way)


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


def _identify_several(contents: Contents, paths: Sequence[Path]) -> list[bytes | PhotoError]:
    return [_identified(path, contents) for path in paths]


def _identified(path: Path, contents: Contents) -> bytes | PhotoError:
    try:
        with turn_of(path):
            return contents.digest_of(path)
    except PhotoError as problem:
        return problem


def _begun(
    pool: ThreadPoolExecutor,
    paths: Sequence[Path],
    preprocessing: Preprocessing,
    contents: Contents,
    odd: Oddities,
) -> deque[Future[list[tuple[Path, Outcome]]]]:
    """The photos on their way through the decoders, a few to each thread at a time."""
    size = max(1, min(GROUP, len(paths) // (2 * workers())))
    groups = (paths[i : i + size] for i in range(0, len(paths), size))
    return deque(
        pool.submit(_decode_several, group, preprocessing, contents, odd) for group in groups
    )


def _announce(paths: Iterable[Path]) -> None:
    """Let the system read the files of the next turn while the network works."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError), path.open("rb") as file:  # what is wrong is said when it is read
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _decode_several(
    paths: Sequence[Path], preprocessing: Preprocessing, contents: Contents, odd: Oddities
) -> list[tuple[Path, Outcome]]:
    return [(path, _decode_one(path, preprocessing, contents, odd)) for path in paths]


def _decode_one(
    path: Path, preprocessing: Preprocessing, contents: Contents, odd: Oddities
) -> Outcome:
    try:
        with turn_of(path):
            photo, data = contents.take(path)
            return photo, preprocessing.pixels(data, odd.of(path))
    except PhotoError as problem:
        return problem
