"""Where Budwood keeps files: one folder, and how a file gets there whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path

CAPSULE = "model.safetensors"
"""The capsule's name inside the folder of a run."""
MARKER = ".budwood"
"""A file in every folder that Budwood makes for its output: what lies there are no photos to learn
from."""
_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")


def home() -> Path:
    """The one folder that holds weights, stored features and compiled trunks.

    `BUDWOOD_HOME` if it is set, else the platform's cache folder for budwood. Not created here.
    """
    chosen = os.environ.get("BUDWOOD_HOME")
    return Path(chosen).expanduser() if chosen else user_cache_path("budwood", appauthor=False)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing; on success rename it into place, else remove it.

    A reader sees the old file or the complete new one, never a part, also after a power cut or
    `kill -9` (then a `.partial` file stays behind, which nothing ever reads). A device or pipe is
    written to as it is.

    Raises:
        OSError: If the disk is full or the folder cannot be written; `path` is as it was. The error
            names `path`.
    """
    if _is_no_file(path):
        with _naming(path, path), path.open("wb") as file:
            yield file
        return
    # Not `tempfile.mkstemp`: its files are closed to every other user, and stay so. A name of 255
    # bytes leaves no room for more.
    partial = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.partial")
    try:
        with _naming(path, partial):
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink(missing_ok=True)
        raise


def _is_no_file(path: Path) -> bool:
    """True for what cannot be replaced: a device, a pipe, standard output by its name."""
    is_other = path.exists() and not path.is_file() and not path.is_dir()
    return is_other or str(path).startswith(_STREAMS)


@contextmanager
def _naming(path: Path, partial: Path) -> Iterator[None]:
    """Errors of the file system name the file that was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(partial)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
