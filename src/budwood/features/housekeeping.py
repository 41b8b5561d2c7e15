"""Housekeeping of the feature store: what is in it, whether it is intact, and clearing it."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from budwood.errors import StoreError, UnknownName
from budwood.features.shards import MAPS, Shard, is_intact, open_shard, shard_paths
from budwood.features.store import store_folder, stored_makers
from budwood.features.trunks import bytes_of, kept_trunks, notes_in
from budwood.files import home
from budwood.text import aligned

ABANDONED = 3600.0
"""Seconds after which an unfinished file belongs to a process that was killed."""


@dataclass(frozen=True)
class StoreEntry:
    """The rows of one frontier tensor."""

    key: str
    rows: int
    bytes: int
    tensor: str
    shape: tuple[int, ...]
    engine: str


@dataclass(frozen=True)
class StoreListing:
    """What is stored."""

    folder: Path
    entries: tuple[StoreEntry, ...]
    trunks: tuple[int, ...] = ()
    """Bytes of each converted trunk that is kept beside the store."""

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "bytes": sum(entry.bytes for entry in self.entries),
            "entries": [asdict(entry) for entry in self.entries],
            "trunks": {"count": len(self.trunks), "bytes": sum(self.trunks)},
        }

    def __str__(self) -> str:
        trunks = f"{len(self.trunks)} converted trunks take {sum(self.trunks) / 1e6:.1f} MB."
        if not self.entries:
            nothing = f"Nothing is stored in {self.folder}."
            return f"{nothing}\n{trunks}" if self.trunks else nothing
        head = ("key", "tensor", "engine", "photos", "MB")
        rows = [
            (
                entry.key[:12],
                f"{entry.tensor} {'x'.join(map(str, entry.shape))}",
                entry.engine,
                str(entry.rows),
                f"{entry.bytes / 1e6:.1f}",
            )
            for entry in self.entries
        ]
        total = sum(entry.bytes for entry in self.entries)
        return (
            f"{aligned([head, *rows], words=3)}\n\n{total / 1e6:.1f} MB in {self.folder}\n{trunks}"
        )


@dataclass(frozen=True)
class StoreCheck:
    """What was checked, what was damaged or abandoned and is removed now, and what is not known."""

    files: int
    removed: tuple[str, ...]
    bytes: int
    unreadable: tuple[str, ...] = ()
    """Files that could not be read, or not be removed, with the reason; they are kept."""

    def to_json(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "removed": list(self.removed),
            "bytes": self.bytes,
            "unreadable": list(self.unreadable),
            "clean": not self.removed and not self.unreadable,
        }

    def __str__(self) -> str:
        head = f"{self.files} files checked"
        if self.removed:
            head += (
                f", {len(self.removed)} removed ({self.bytes / 1e6:.1f} MB); "
                "their rows are computed again when needed."
            )
        elif not self.unreadable:
            head += ", all intact."
        lines = [head, *(f"  {name}" for name in self.removed)]
        if self.unreadable:
            lines += [f"{len(self.unreadable)} kept that could not be checked or removed:"]
            lines += [f"  {name}" for name in self.unreadable]
        return "\n".join(lines)


@dataclass(frozen=True)
class ClearedStore:
    """What was removed on request."""

    removed: tuple[str, ...]
    """Keys of the entries."""
    bytes: int
    trunks: int = 0
    leftovers: int = 0
    """Files that killed processes left, and notes of which images belong together."""

    def to_json(self) -> dict[str, Any]:
        return {
            "removed": list(self.removed),
            "bytes": self.bytes,
            "trunks": self.trunks,
            "leftovers": self.leftovers,
        }

    def __str__(self) -> str:
        entries = "entry" if len(self.removed) == 1 else "entries"
        trunks = f" and {self.trunks} converted trunks" if self.trunks else ""
        return f"{len(self.removed)} {entries}{trunks} removed ({self.bytes / 1e6:.1f} MB)."


def list_store() -> StoreListing:
    """What is stored, one entry for each frontier tensor; what cannot be read is left out."""
    entries = tuple(map(_entry, stored_makers()))
    return StoreListing(store_folder(), entries, tuple(size for _, size in kept_trunks()))


def verify_store() -> StoreCheck:
    """Read every byte of the store; damaged and abandoned files go, unreadable ones stay."""
    checking = _Checking()
    for folder in stored_makers():
        checking.check(folder)
    return StoreCheck(
        checking.files, tuple(checking.removed), checking.bytes, tuple(checking.unreadable)
    )


def clear_store(keys: Sequence[str] = ()) -> ClearedStore:
    """Remove the entries whose key begins so; without keys all, kept trunks, and leftovers."""
    makers = list(stored_makers())
    for key in keys:
        if not any(maker.name.startswith(key) for maker in makers):
            raise UnknownName(
                f"Nothing is stored under {key!r}.", next="`budwood cache list` shows the keys."
            )
    chosen = [m for m in makers if not keys or any(m.name.startswith(key) for key in keys)]
    trunks = [] if keys else [place for place, _ in kept_trunks()]
    left = [] if keys else list(leftovers())
    size = sum(map(bytes_of, (*chosen, *trunks, *left)))
    MAPS.forget()  # Windows removes no file that is mapped
    for place in (*chosen, *trunks, *left):
        _remove(place)
    return ClearedStore(tuple(maker.name for maker in chosen), size, len(trunks), len(left))


def leftovers() -> Iterator[Path]:
    """What killed processes have left in BUDWOOD_HOME, and its old notes of groups and networks."""
    for folder in ("trunks", "weights", "groups", "summaries"):
        yield from (path for path in (home() / folder).glob(".*.partial*") if _is_abandoned(path))
    for folder in ("groups", "summaries"):
        yield from (path for path in (home() / folder).glob("*.json") if _is_abandoned(path))


def _remove(place: Path) -> None:
    try:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    except FileNotFoundError:  # another process was faster
        return
    except OSError as problem:
        raise StoreError(
            f"Cannot remove {place}: {problem.strerror}.",
            next="Stop the processes that use it and try again.",
            file=place,
        ) from problem


class _Checking:
    """A walk through the store that notes what it finds."""

    def __init__(self) -> None:
        self.files, self.bytes = 0, 0
        self.removed: list[str] = []
        self.unreadable: list[str] = []

    def check(self, folder: Path) -> None:
        try:
            shards = shard_paths(folder)
        except OSError as problem:
            self.unreadable.append(f"{folder}: {problem.strerror}")
            return
        for path in shards:
            self._check_shard(path)
        for path in folder.glob(".*.partial"):
            if _is_abandoned(path):
                self._remove(path, "was never finished")

    def _check_shard(self, path: Path) -> None:
        try:
            intact = is_intact(path)
        except FileNotFoundError:  # another process has merged or removed it
            return
        except OSError as problem:
            self.unreadable.append(f"{path} cannot be read: {problem.strerror}")
            return
        self.files += 1
        if not intact:
            self._remove(path, "was damaged")

    def _remove(self, path: Path, what: str) -> None:
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:  # another process was faster
            return
        except OSError as problem:
            self.unreadable.append(f"{path} {what} and cannot be removed: {problem.strerror}")
        else:
            self.bytes += size
            self.removed.append(f"{path} {what}")


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except OSError:  # its writer has just finished it, or it is none of ours
        return False


def _entry(folder: Path) -> StoreEntry:
    opened = list(_opened(folder))
    images = {image.tobytes() for shard in opened for image in shard.images}
    said = notes_in(folder / "about.json")
    return StoreEntry(
        folder.name,
        len(images),
        bytes_of(folder, "*.safetensors"),
        str(said.get("tensor", "?")),
        tuple(said.get("shape", ())),
        str(said.get("engine", "?")),
    )


def _opened(folder: Path) -> Iterator[Shard]:
    """The shards that can be read: `cache verify` says which cannot."""
    try:
        paths = shard_paths(folder)
    except OSError:
        return
    for path in paths:
        with suppress(OSError):  # StoreError too
            yield open_shard(path)
