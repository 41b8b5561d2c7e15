"""How an archive from elsewhere becomes a folder: nothing outside it, nothing half."""

import gzip
import platform
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from budwood.errors import DataError

MAX_BYTES = 2 * 10**9
"""What an archive may unpack to, by default."""
MAX_ENTRIES = 50_000
"""How many files and folders it may hold, by default."""

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class Entry:
    """A file or a folder in an archive: what is neither never becomes an entry."""

    parts: tuple[str, ...]
    """The names from the outermost folder inwards."""
    is_folder: bool
    size: int
    """Bytes, unpacked."""
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, folder: Path, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES
) -> None:
    """Put the files of a .tar.gz or .zip archive into a folder that is there and empty.

    All entries are checked before the first is written: no path that leads out of the folder, no
    link, no device, no name twice. If the archive holds one folder and nothing beside it, that
    level is left out. Owners, permissions and dates are not taken over.

    Args:
        archive: Of an origin that is known, by its hash: a forged header of a tar archive can
            still fill the memory.
        folder: Where its files go; see `whole_folder`.
        max_bytes: What it may unpack to.
        max_entries: How many files and folders it may hold.

    Raises:
        DataError: If it is no such archive, is damaged, holds what is refused or is too large.
        OSError: If the folder cannot be written.

    Example:
        >>> from tempfile import mkdtemp
        >>> place = Path(mkdtemp())
        >>> with zipfile.ZipFile(place / "pets.zip", "w") as pets:
        ...     pets.writestr("pets/cats/1.jpg", b"a photo")
        >>> with whole_folder(place / "pets") as partial:
        ...     unpack(place / "pets.zip", partial)
        >>> (place / "pets" / "cats" / "1.jpg").read_bytes()
        b'a photo'
    """
    try:
        with _opened(archive) as found:
            entries, total = [], 0
            for entry in found:
                entries.append(entry)
                total += entry.size
                if total > max_bytes or len(entries) > max_entries:
                    raise _too_large(archive, max_bytes, max_entries)
            _check_distinct(entries, archive)
            _write(entries, folder)
    except DAMAGE as problem:
        raise DataError(
            f"{archive} is damaged, or no .tar.gz or .zip archive: {problem}.",
            next="Download it again.",
            file=archive,
        ) from None


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[Entry]]:
    """The entries of an archive, each checked by itself; they can be read while it is open."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield (_zip_entry(file, info, archive) for info in file.infolist())
        return
    if not hasattr(tarfile, "data_filter"):
        raise DataError(
            f"Python {platform.python_version()} has no safe way to unpack {archive}.",
            expected="Python 3.11.4 and later have one (tarfile's data filter).",
            next="Update Python, or unpack the archive yourself.",
            file=archive,
        )
    with tarfile.open(archive, "r:gz") as tar:
        yield (_tar_entry(tar, member, archive) for member in tar)


def _zip_entry(file: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path) -> Entry:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(info.filename, "is neither a file nor a folder", archive)
    if info.flag_bits & 1:
        raise _refused(info.filename, "is encrypted", archive)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(info.filename, "is compressed in an unusual way", archive)
    parts = _checked_parts(info.orig_filename, archive)
    return Entry(parts, info.is_dir(), info.file_size, lambda: file.open(info))


def _tar_entry(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> Entry:
    if not (member.isreg() or member.isdir()):
        raise _refused(member.name, "is neither a file nor a folder", archive)
    parts = _checked_parts(member.name, archive)
    tarfile.data_filter(member, str(archive.parent))

    def content() -> IO[bytes]:
        file = tar.extractfile(member)
        assert file is not None
        return file

    return Entry(parts, member.isdir(), member.size, content)


def _checked_parts(name: str, archive: Path) -> tuple[str, ...]:
    """The parts of a path that stays within the folder, on every system."""
    path = PureWindowsPath(name)  # also takes / for a separator
    # Windows takes "... " for "..".
    upwards = any(not part.strip(". ") for part in path.parts)
    if upwards or path.drive or path.root or "\0" in name:
        raise _refused(name, "leads out of the folder", archive)
    return PurePosixPath(name).parts


def _check_distinct(entries: list[Entry], archive: Path) -> None:
    """No file twice, and none that is a folder too; on some systems A.jpg is a.jpg."""
    folders, files = set[str](), set[str]()
    for entry in entries:
        path = PurePosixPath("/".join(entry.parts).casefold())
        folders |= {str(parent) for parent in path.parents}
        if not entry.is_folder:
            if str(path) in files:
                raise _refused("/".join(entry.parts), "is there twice", archive)
            files.add(str(path))
    for name in sorted(files & folders):
        raise _refused(name, "is a file and a folder", archive)


def _write(entries: list[Entry], folder: Path) -> None:
    outer = {entry.parts[:1] for entry in entries if entry.parts}
    is_one_folder = len(outer) == 1 and all(
        entry.is_folder or len(entry.parts) > 1 for entry in entries
    )
    for entry in entries:
        target = folder.joinpath(*entry.parts[1 if is_one_folder else 0 :])
        if entry.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, target.open("xb") as file:
            shutil.copyfileobj(source, file)


def _refused(name: str, reason: str, archive: Path) -> DataError:
    return DataError(
        f"{archive} is not unpacked: its entry {name!r} {reason}.",
        expected="Only files and folders within one folder are unpacked; nothing was written.",
        next="Do not use this archive.",
        file=archive,
    )


def _too_large(archive: Path, max_bytes: int, max_entries: int) -> DataError:
    return DataError(
        f"{archive} is not unpacked: it holds more than {max_bytes:,} bytes or {max_entries:,} "
        "files.",
        expected="Nothing was written.",
        next="Do not use this archive.",
        file=archive,
    )
