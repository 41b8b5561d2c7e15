"""Photos that can be read and of which there is something to say: a line a kind, not a photo."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from budwood.text import count

OnOddity = Callable[[str], None]
"""Told what is odd about a photo that is decoded."""


class Oddities:
    """What is odd about photos, gathered by many threads.

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
            has, are = ("has", "it is read as it is") if len(paths) == 1 else _MANY
            yield f"{count(len(paths), 'photo')} {has} {kind}; {are} (the first is {min(paths)})."


_MANY = "have", "they are read as they are"
