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
    `kill -9` (then a `.partial` file stays behind, which nothing ever reads).

    Raises:
        OSError: If the disk is full or the folder cannot be written; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile.mkstemp`: its files are closed to every other user, and stay so.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink(missing_ok=True)
        raise
