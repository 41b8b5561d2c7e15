"""The bytes of a photo's file, and the digest by which the feature store knows the photo."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from budwood.errors import PhotoError
from budwood.machine import cores


def workers() -> int:
    """Threads that read and decode photos: one for each core this process may use."""
    return cores()


def read(path: Path) -> bytes:
    """The bytes of the file at `path`.

    Raises:
        PhotoError: If the file has vanished or may not be read; `file` names it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotoError(
            f"The photo cannot be read: {(error.strerror or str(error)).lower()}.",
            next="Check that the file is there and that you may read it.",
            file=path,
        ) from None


def files_digest(paths: Sequence[Path], about: str) -> str:
    """A name for what is found out about these files; another once one of them changes.

    Args:
        paths: The files.
        about: All else that it depends on.
    """
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
    """The identity of a photo: 16 bytes that depend on nothing but the bytes of its file.

    Example:
        >>> digest(b"the same bytes") == digest(b"the same bytes")
        True
    """
    return hashlib.blake2b(data, digest_size=16).digest()
