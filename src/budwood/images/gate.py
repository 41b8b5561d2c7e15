"""How much may be decoded at the same time, by all threads and for whatever purpose.

A photo takes the memory of its pixels, however few of them are wanted. Where photos are large there
are fewer under way; the largest go alone.
"""

import ctypes
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

from budwood.images.headers import Header

ROOM = 512 * 2**20
"""Bytes of pixels that may be there at once; more only if it is one photo."""
LARGE_FILE = 32 * 2**20
"""Bytes; of larger files one at a time is read and decoded."""
LARGE_PHOTO = 64 * 2**20
"""Bytes of pixels; after more, memory is given back at once."""


class Gate:
    """Lets in as many as there is room for, in order of arrival; the largest alone.

    Example:
        >>> gate = Gate(100)
        >>> with gate.hold(60), gate.hold(40):
        ...     gate.free
        0
    """

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
            if size > LARGE_PHOTO:
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


PIXELS = Gate(ROOM)
"""The one gate of the process."""
_one_large_file = threading.Lock()


def _open_anew() -> None:
    """In a forked process: the threads that had room, or the lock, are not here to give it back."""
    global _one_large_file
    PIXELS.__init__(ROOM)  # type: ignore[misc]
    _one_large_file = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_open_anew)


def pixel_bytes(header: Header, reduction: int) -> int:
    """About how much a photo takes while it is decoded."""
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
