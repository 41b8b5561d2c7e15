"""From the bytes of a photo's file to its pixels: upright, RGB, 8 bits, whatever it was.

A photo takes the memory of its pixels, however few of them are wanted. One gate lets in as many as
there is room for, by all threads and for whatever purpose.
"""

import ctypes
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from pathlib import Path

import numpy as np

from budwood.arrays import ImageArray
from budwood.errors import ImageError
from budwood.images.depth import Depth, Samples
from budwood.images.formats import (
    SIDE_CHUNKS,
    DecodedImage,
    Header,
    check_size,
    image_errors,
    read_header,
    without_side_chunks,
)
from budwood.images.jpeg import decode_jpeg
from budwood.images.pillow import decode_with_pillow, deep_samples
from budwood.text import count

OnOddity = Callable[[str], None]
"""Told what is odd about a photo that is decoded."""

ROOM = 512 * 2**20
"""Bytes of pixels that may be there at once; more only if it is one photo."""
LARGE_FILE = 32 * 2**20
"""Bytes; of larger files one at a time is read and decoded."""
LARGE_IMAGE = 64 * 2**20
"""Bytes of pixels; after more, memory is given back at once."""


class Oddities:
    """What is odd about photos that can be read, gathered by many threads: a line a kind.

    Example:
        >>> odd = Oddities()
        >>> odd.of(Path("b.jpg"))("no end marker, but all rows")
        >>> odd.of(Path("a.jpg"))("no end marker, but all rows")
        >>> print(*odd.lines())
        2 photos have no end marker, but all rows; they are read as they are (the first is a.jpg).
    """

    def __init__(self) -> None:
        self._paths: dict[str, set[Path]] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> OnOddity:
        """What is to be called with a word on this photo."""

        def add(kind: str) -> None:
            with self._lock:
                self._paths.setdefault(kind, set()).add(path)

        return add

    def lines(self) -> Iterator[str]:
        """A line for each kind, which is forgotten then."""
        with self._lock:
            known, self._paths = sorted(self._paths.items()), {}
        for kind, paths in known:
            is_one = len(paths) == 1
            has, are = ("has", "it is") if is_one else ("have", "they are")
            images = count(len(paths), "photo")
            yield f"{images} {has} {kind}; {are} read as {are} (the first is {min(paths)})."


class Gate:
    """Lets in as many as there is room for, in order of arrival; the largest alone."""

    def __init__(self, room: int) -> None:
        self.free = room
        self._room = room
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until there is room for so much, and take it; all of it if that is too little."""
        size, ticket = min(size, self._room), object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._waiting[0] is ticket and self.free >= size  # fair to large ones
                )
                self.free -= size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            if size > LARGE_IMAGE:
                _give_back()
            with self._changed:
                self.free += size
                self._changed.notify_all()


def _give_back() -> None:
    """Let the system have what was freed: each thread's heap would keep it, a whole photo each."""
    trim = getattr(_c_library(), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


@cache
def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if os.name == "posix" else None


def _open_gates() -> None:
    global PIXELS, _one_large_file
    PIXELS, _one_large_file = Gate(ROOM), threading.Lock()


PIXELS: Gate
"""The one gate of the process."""
_one_large_file: threading.Lock
_open_gates()
if hasattr(os, "register_at_fork"):  # not on Windows; who held them is not there to give them back
    os.register_at_fork(after_in_child=_open_gates)


def pixel_bytes(header: Header, reduction: int) -> int:
    """About how much memory a photo takes while it is decoded."""
    pixels = (header.height or 0) * (header.width or 0)
    if header.format != "jpeg":
        return 4 * pixels  # Pillow has four bytes for each
    return 3 * pixels // reduction**2 + 6 * pixels * header.is_progressive


def turn_of(path: Path) -> AbstractContextManager[object]:
    """Held while a file is read and decoded: of large files there is one at a time.

    Within it `PIXELS` may be waited for, never the other way about.
    """
    try:
        is_large = path.stat().st_size > LARGE_FILE
    except OSError:  # reading it says what is wrong
        is_large = False
    return _one_large_file if is_large else nullcontext()


def decode(data: bytes) -> ImageArray:
    """The photo as `h w 3`, 0 to 255: upright (EXIF), RGB, alpha laid over white.

    JPEG goes through libjpeg-turbo, the rest through Pillow, and through tifffile what Pillow does
    not read. Of an animation the first frame counts, of a TIFF the first page.
    Safe to call from many threads.
    """
    with decoding(data, lambda height, width: 1) as decoded:
        return decoded.image


@contextmanager
def decoding(
    data: bytes,
    reduce: Callable[[int, int], int],
    *,
    depth: Depth | None = None,
    on_oddity: OnOddity = lambda kind: None,
) -> Iterator[DecodedImage]:
    """What `decode` gives, in less time at a fraction of its size, if `reduce` allows it.

    It is to be used within: until then no more photos are decoded than there is room for.

    Args:
        data: The bytes of the file.
        reduce: By how much a photo of that height and width may be reduced: 1, 2, 4 or 8. Only a
            JPEG is, and a very large photo.
        depth: What is black and white in samples of more than 8 bits; None: their full range.
        on_oddity: Told what is odd about a photo that can be read.
    """
    with image_errors("photo"):
        header = read_header(data)
        if header.height is not None and header.width is not None:
            check_size(header.height, header.width)
    reduce = partial(_stored_reduction, header, reduce)
    is_jpeg = header.format == "jpeg"
    reduction = reduce(header.height or 0, header.width or 0) if is_jpeg else 1
    with PIXELS.hold(pixel_bytes(header, reduction)):
        with image_errors(str(header)):
            decoded, oddity = _decoded(data, header, reduction, reduce, depth or Depth())
        if oddity is not None:
            on_oddity(oddity)
        yield _turned(decoded, header.orientation)


def deep_samples_of(data: bytes) -> Samples | None:
    """The samples of a photo of more than 8 bits, as they are stored; None of any other."""
    with image_errors("photo"):
        header = read_header(data)
    if header.format not in ("png", "tiff"):
        return None
    with PIXELS.hold(pixel_bytes(header, 1)):
        return deep_samples(data, header)


def _decoded(
    data: bytes, header: Header, reduction: int, reduce: Callable[[int, int], int], depth: Depth
) -> tuple[DecodedImage, str | None]:
    """The photo as stored, by the decoder that it is for, and what is odd about it."""
    if header.format == "jpeg" and header.components in (1, 3, 4):
        found = decode_jpeg(data, header, reduction)
        if found is not None:
            image, oddity = found
            return DecodedImage(image, header.height or 0, header.width or 0, reduction), oddity
    try:
        return decode_with_pillow(data, header, reduce, depth), header.oddity
    except ImageError:
        if header.format != "png" or (plain := without_side_chunks(data)) is None:
            raise
        return decode_with_pillow(plain, header, reduce, depth), SIDE_CHUNKS


def _stored_reduction(
    header: Header, reduce: Callable[[int, int], int], height: int, width: int
) -> int:
    """By how much a photo stored like that is reduced."""
    if header.orientation >= 5:
        height, width = width, height
    reduction = reduce(height, width)
    # Turned, a last pixel that is there in part would come first: so here all must be whole.
    return reduction if header.orientation == 1 else math.gcd(reduction, height, width)


def _turned(decoded: DecodedImage, orientation: int) -> DecodedImage:
    height, width = decoded.height, decoded.width
    if orientation >= 5:
        height, width = width, height
    return DecodedImage(upright(decoded.image, orientation), height, width, decoded.reduction)


def upright(image: ImageArray, orientation: int) -> ImageArray:
    """The photo turned and mirrored as its EXIF orientation asks."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    flipped = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation)
    return np.flip(image, flipped) if flipped else image
