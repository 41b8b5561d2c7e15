"""Files: the folder that Budwood keeps, files that are there whole or not at all, their names."""

import csv
import io
import json
import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from platformdirs import user_cache_path

from budwood.text import is_control

CAPSULE = "model.safetensors"
"""The capsule's name inside the folder of a run."""
MARKER = ".budwood"
"""A file in every folder that Budwood makes for its output: what lies there are no photos to learn
from."""
_STREAMS = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/")
_LONGEST_FILE = 80
"""Characters of the name of a file that is made from other names."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` to put files into; on success renamed to it, else removed.

    After `kill -9` a hidden `.partial` folder stays behind, which nothing ever reads.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir()
        yield partial
        if folder.is_dir():
            folder.rmdir()  # Windows renames to no folder that is there, not even an empty one
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # the first error is the one to tell
        raise


JSON_VERSION = 2
"""Of the objects that `--json` prints and of `result.json`; 1 had other keys and no version."""


def versioned(content: Mapping[str, Any]) -> dict[str, Any]:
    """An object for `--json`, its version first."""
    return {"version": JSON_VERSION, **content}


def write_json(path: Path, content: Any) -> None:
    """Put plain values into a file, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2).encode())


def path_cell(path: Path | str) -> str:
    """A path such that no spreadsheet takes it for a formula, and that still names the file.

    Example:
        >>> path_cell("=1.jpg"), path_cell("a/=1.jpg")
        ('./=1.jpg', 'a/=1.jpg')
    """
    text = str(path)
    return f"./{text}" if text.startswith(_FORMULA) else text


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8; bytes of a file's name that are none stay as they are.

    Read with `errors="surrogateescape"`, such a list names the same files again.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")


def write_list(file: Path, rows: Iterable[Sequence[object]], mark: bytes = b"") -> None:
    """Put rows into a CSV file, whole or not at all; `mark` comes before them."""
    content = mark + csv_bytes(rows)
    with whole_file(file) as made:
        made.write(content)


def is_text(name: str) -> bool:
    """False for a name with bytes that are no UTF-8.

    Example:
        >>> is_text("ä"), is_text("\\udce4")
        (True, False)
    """
    return not any("\udc80" <= c <= "\udcff" for c in name)


def sameness(name: str) -> str:
    """Equal for names that are one file on a disk that tells neither capitals nor accents' forms.

    Example:
        >>> sameness("IMG.JPG") == sameness("img.jpg")
        True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def file_name(name: str) -> str:
    r"""A name that a file may have on Linux, macOS and Windows.

    Characters and words that Windows reserves, control characters and what no text holds are
    replaced, and a long name is cut.

    Example:
        >>> file_name("aux: 3/4?"), file_name("con"), file_name("..")
        ('aux- 3-4-', '_con', '_')

    Reference: Microsoft, "Naming Files, Paths, and Namespaces".
    """
    safe = "".join("-" if c in '<>:"/\\|?*' or is_control(c) else c for c in name)
    safe = safe[:_LONGEST_FILE].rstrip(". ") or "_"
    return f"_{safe}" if _RESERVED.match(safe) else safe


def unused(folder: Path, name: str, suffix: str) -> Path:
    """`NAME` and the suffix in a folder, with the first number behind it that is not taken yet.

    A name that differs in capitals only from one that is there counts as taken.
    """
    name = file_name(name)
    there = {sameness(entry.name) for entry in folder.iterdir()} if folder.is_dir() else set()
    path, number = folder / f"{name}{suffix}", 1
    while sameness(path.name) in there:
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path


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
