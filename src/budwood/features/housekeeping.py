"""Housekeeping of the feature store: what is in it, whether it is intact, and clearing it."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from budwood.errors import StoreError, UnknownName
from budwood.features.store import is_intact, open_shard, store_folder, stored_makers

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

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "folder": str(self.folder),
            "bytes": sum(entry.bytes for entry in self.entries),
            "entries": [asdict(entry) for entry in self.entries],
        }

    def __str__(self) -> str:
        lines = [
            f"{e.key[:12]}  {e.rows:>8} photos  {e.bytes / 1e6:>9.1f} MB  "
            f"{e.tensor} {'x'.join(map(str, e.shape))}, {e.engine}"
            for e in self.entries
        ]
        total = sum(entry.bytes for entry in self.entries)
        return "\n".join([*lines, f"{total / 1e6:.1f} MB in {self.folder}"])


@dataclass(frozen=True)
class Cleaning:
    """What was checked and what was removed."""

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
        removed = f"{len(self.removed)} removed ({self.bytes / 1e6:.1f} MB)"
        head = f"{self.files} files checked, {removed}."
        return "\n".join([head, *(f"  {name}" for name in self.removed)])


def list_store() -> Listing:
    """What is stored, one entry for each frontier tensor."""
    return Listing(store_folder(), tuple(_entry(folder) for folder in stored_makers()))


def verify_store() -> Cleaning:
    """Read every byte of the store; damaged and abandoned files are removed."""
    removed, size, files = [], 0, 0
    for folder in stored_makers():
        for path in sorted(folder.glob("*.safetensors")):
            files += 1
            if not _passes(path):
                size += path.stat().st_size
                path.unlink()
                removed.append(f"{path} was damaged")
        for path in folder.glob(".*.partial"):
            if time.time() - path.stat().st_mtime > ABANDONED:
                size += path.stat().st_size
                path.unlink()
                removed.append(f"{path} was never finished")
    return Cleaning(files, tuple(removed), size)


def clear_store(keys: Sequence[str] = ()) -> Cleaning:
    """Remove the entries whose key begins so; all of them without keys.

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
    size = sum(path.stat().st_size for maker in chosen for path in maker.iterdir())
    for maker in chosen:
        try:
            shutil.rmtree(maker)
        except OSError as problem:
            raise StoreError(
                f"Cannot remove {maker}: {problem.strerror}.",
                next="Stop the processes that use it and try again.",
                file=maker,
            ) from problem
    return Cleaning(len(makers), tuple(str(maker) for maker in chosen), size)


def _passes(path: Path) -> bool:
    try:
        return is_intact(path)
    except StoreError:
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
