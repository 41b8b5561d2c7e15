"""Housekeeping of the feature store: what is in it, whether it is intact, and clearing it."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from budwood.errors import StoreError, UnknownName
from budwood.features.shards import is_intact, open_shard
from budwood.features.store import store_folder, stored_makers
from budwood.features.trunks import kept_trunks
from budwood.surgery.tables import aligned

ABANDONED = 3600.0
"""Seconds after which an unfinished file belongs to a process that was killed."""


@dataclass(frozen=True)
class Entry:
    """The rows of one frontier tensor."""

    key: str
    rows: int
    bytes: int
    tensor: str
    shape: tuple[int, ...]
    engine: str


@dataclass(frozen=True)
class Listing:
    """What is stored."""

    folder: Path
    entries: tuple[Entry, ...]
    trunks: tuple[int, ...] = ()
    """Bytes of each converted trunk that is kept beside the store."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
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
class Checkup:
    """What was checked, and what was damaged or abandoned and is removed now."""

    files: int
    removed: tuple[str, ...]
    bytes: int
    """Bytes of what was removed."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "files": self.files,
            "removed": list(self.removed),
            "bytes": self.bytes,
            "clean": not self.removed,
        }

    def __str__(self) -> str:
        if not self.removed:
            return f"{self.files} files checked, all intact."
        removed = f"{len(self.removed)} removed ({self.bytes / 1e6:.1f} MB)"
        head = f"{self.files} files checked, {removed}; their rows are computed again when needed."
        return "\n".join([head, *(f"  {name}" for name in self.removed)])


@dataclass(frozen=True)
class Clearing:
    """What was removed on request."""

    removed: tuple[str, ...]
    """Keys of the entries."""
    bytes: int
    """Of the entries, and of the trunks."""
    trunks: int = 0
    """Converted trunks that were removed."""

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"removed": list(self.removed), "bytes": self.bytes, "trunks": self.trunks}

    def __str__(self) -> str:
        entries = "entry" if len(self.removed) == 1 else "entries"
        trunks = f" and {self.trunks} converted trunks" if self.trunks else ""
        return f"{len(self.removed)} {entries}{trunks} removed ({self.bytes / 1e6:.1f} MB)."


def list_store() -> Listing:
    """What is stored, one entry for each frontier tensor."""
    entries = tuple(_entry(folder) for folder in stored_makers())
    return Listing(store_folder(), entries, tuple(size for _, size in kept_trunks()))


def verify_store() -> Checkup:
    """Read every byte of the store; damaged and abandoned files are removed."""
    removed, size, files = [], 0, 0
    for folder in stored_makers():
        for path in sorted(folder.glob("*.safetensors")):
            files += 1
            if not is_intact(path):
                size += path.stat().st_size
                path.unlink()
                removed.append(f"{path} was damaged")
        for path in folder.glob(".*.partial"):
            if _is_abandoned(path):
                size += path.stat().st_size
                path.unlink()
                removed.append(f"{path} was never finished")
    return Checkup(files, tuple(removed), size)


def clear_store(keys: Sequence[str] = ()) -> Clearing:
    """Remove the entries whose key begins so; without keys all of them, and the kept trunks.

    Raises:
        UnknownName: If a key is of none; nothing is removed then.
        StoreError: If a file cannot be removed.
    """
    makers = list(stored_makers())
    for key in keys:
        if not any(maker.name.startswith(key) for maker in makers):
            raise UnknownName(
                f"Nothing is stored under {key!r}.", next="`budwood cache list` shows the keys."
            )
    chosen = [m for m in makers if not keys or any(m.name.startswith(key) for key in keys)]
    trunks = [] if keys else [place for place, _ in kept_trunks()]
    folders = [*chosen, *trunks]
    size = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except OSError as problem:
            raise StoreError(
                f"Cannot remove {folder}: {problem.strerror}.",
                next="Stop the processes that use it and try again.",
                file=folder,
            ) from problem
    return Clearing(tuple(maker.name for maker in chosen), size, len(trunks))


def _is_abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED
    except FileNotFoundError:  # its writer has just finished it
        return False


def _entry(folder: Path) -> Entry:
    shards = [path for path in folder.glob("*.safetensors") if _opens(path)]
    photos = {photo for path in shards for photo in open_shard(path).photos}
    about = folder / "about.json"
    said = json.loads(about.read_text()) if about.exists() else {}
    return Entry(
        folder.name,
        len(photos),
        sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        said.get("tensor", "?"),
        tuple(said.get("shape", ())),
        said.get("engine", "?"),
    )


def _opens(path: Path) -> bool:
    try:
        open_shard(path)
    except StoreError:
        return False
    return True
