"""The bytes of a photo's file, and the digest by which the feature store knows the photo.

Each file is read once a run: its digest is remembered, and its bytes until they are decoded.

A file that changed on disk is noticed by its size, times and inode, and read again. Where these
cannot tell, because it was written a moment ago, it is read again too.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from budwood.errors import ImageError
from budwood.files import home, whole_file
from budwood.machine import cores

Found = TypeVar("Found")


def workers() -> int:
    """Threads that read and decode photos: one for each core this process may use."""
    return cores()


def read(path: Path) -> bytes:
    """The bytes of the file at `path`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"The photo cannot be read: {(error.strerror or str(error)).lower()}.",
            next="Check that the file is there and that you may read it.",
            file=path,
        ) from None


def found_once(
    kind: str,
    paths: Sequence[Path],
    about: str,
    find: Callable[[], Found],
    to_json: Callable[[Found], Any],
    from_json: Callable[[Any], Found],
) -> Found:
    """What `find` finds out about these files; kept, and found again until one of them changes."""
    place = home() / kind / f"{_files_digest(paths, about)}.json"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        return from_json(json.loads(place.read_bytes()))
    found = find()  # it is not there yet, or damaged
    with suppress(OSError), whole_file(place) as file:  # it only saves time
        file.write(json.dumps(to_json(found)).encode())
    return found


def _files_digest(paths: Sequence[Path], about: str) -> str:
    seen = hashlib.blake2b(about.encode())
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            said = f"{path.absolute()}\0"
        else:
            said = f"{path.absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
        seen.update(said.encode(errors="surrogateescape"))
    return seen.hexdigest()[:32]


def digest(data: bytes) -> bytes:
    """The identity of a photo: 16 bytes that depend on nothing but the bytes of its file."""
    return hashlib.blake2b(data, digest_size=16).digest()


KEPT_BYTES = 128 * 2**20
"""Bytes of files that are kept from when they are first read until they are decoded."""
MOST_DIGESTS = 2**18
"""Files whose digests are remembered: some 100 MB."""
MOMENT = 0.1
"""Seconds within which a file system may give two writes one time."""
COARSE_MOMENT = 2.0
"""The same where times are whole seconds: FAT on a memory card."""

Version = tuple[int, int, int, int]
"""A file's size, times of change (content, then anything) and inode: another one, another file."""


class Contents:
    """Digests of files that have been read, and the bytes of those that will be wanted once more;
    for many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._digests: dict[Path, tuple[Version, bytes]] = {}
        self._files: dict[Path, tuple[bytes, bytes]] = {}
        self._kept_bytes = 0

    def __contains__(self, path: Path) -> bool:
        return path in self._files

    def digest_of(self, path: Path) -> bytes:
        """The digest of a file, which is read only if it is new or has changed."""
        known = self._digests.get(path)
        if known is not None and known[0] == _version(path):
            return known[1]
        return self._read(path, keep=True)[0]

    def read(self, path: Path) -> bytes:
        """The bytes of a file, which are kept as far as there is room until they are taken."""
        kept, known = self._files.get(path), self._digests.get(path)
        if kept is not None and known is not None and known[0] == _version(path):
            return kept[1]
        return self._read(path, keep=True)[1]

    def take(self, path: Path) -> tuple[bytes, bytes]:
        """A file's digest and bytes: those that were kept, which are let go, or read now."""
        return self._released(path) or self._read(path, keep=False)

    def let_go(self, paths: Iterable[Path]) -> None:
        """Keep the bytes of these files no longer."""
        for path in paths:
            self._released(path)

    def unlock(self) -> None:
        """In a forked process: whoever held the lock is not here to give it back."""
        self._lock = Lock()

    def _read(self, path: Path, *, keep: bool) -> tuple[bytes, bytes]:
        before = _version(path)
        data = read(path)
        found = digest(data), data
        self._released(path)
        with self._lock:
            if before is not None and before == _version(path) and _is_settled(before):
                self._digests[path] = before, found[0]
                if len(self._digests) > MOST_DIGESTS:
                    self._digests.popitem()  # files are read in turns: the first come again first
            else:
                self._digests.pop(path, None)
            if keep and self._kept_bytes + len(data) <= KEPT_BYTES:
                self._kept_bytes += len(data)
                self._files[path] = found
        return found

    def _released(self, path: Path) -> tuple[bytes, bytes] | None:
        with self._lock:
            kept = self._files.pop(path, None)
            self._kept_bytes -= 0 if kept is None else len(kept[1])
        return kept


CONTENTS = Contents()
"""Those of this process, from `load_folder` to the last photo that is judged."""

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=CONTENTS.unlock)


def _version(path: Path) -> Version | None:
    """None of a file that is not there or may not be looked at."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def _is_settled(version: Version) -> bool:
    """True if another write would show in the file's times."""
    is_coarse = version[1] % 10**9 == 0
    return time.time() - version[1] / 1e9 > (COARSE_MOMENT if is_coarse else MOMENT)
