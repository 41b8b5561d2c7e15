"""How much may be decoded at the same time, by all threads and for whatever purpose.

A photo takes the memory of its pixels, however few of them are wanted. Where photos are large there
are fewer under way; the largest go alone.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from budwood.images.headers import Header

ROOM = 512 * 2**20
"""Bytes of pixels that may be there at once; more only if it is one photo."""
LARGE_FILE = 32 * 2**20
"""Bytes; of larger files one at a time is read and decoded."""


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
            with self._changed:
                self.free += size
                self._changed.notify_all()


PIXELS = Gate(ROOM)
"""The one gate of the process."""
_one_large_file = threading.Lock()


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
