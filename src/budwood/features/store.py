"""The feature store: one row a photo, on disk, under the hash of everything that made it.

    BUDWOOD_HOME/store/<maker>/about.json           what made these rows, for people
    BUDWOOD_HOME/store/<maker>/<digest>.safetensors  a shard: `photos` (n 16) and `rows` (n ...)

A shard is renamed into its place, named by the digest of its content and never changed: any number
of processes may read and write at once, and one that is killed leaves all that it had stored.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from budwood.errors import StoreError
from budwood.features.shards import (
    IMAGE_BYTES,
    Shard,
    merge,
    open_shard,
    shard_content,
    shard_path,
    shard_paths,
    unreadable,
    with_descriptors,
)
from budwood.files import home, whole_file, write_json
from budwood.text import byte_size

IN_MEMORY = 512 * 2**20
"""Stored rows up to this many bytes are read once; above, they stay on disk and are mapped."""
SPARE_DISK = 16 * 2**20
"""Bytes of free disk that stored rows never take."""
SHARD_ROWS = 2**32
"""More than a shard can hold: place 2 * SHARD_ROWS + 3 is row 3 of shard 2."""
BLOCK_BYTES = 2**20
"""Rows of several shards are copied so many bytes at a time, which stay in the cache."""
TRIES = 2
"""Times that rows are looked for, besides once for each shard that may be merged meanwhile."""

_log = logging.getLogger("budwood")


def store_folder() -> Path:
    """Where all stored rows are."""
    return home() / "store"


def maker_key(graph_key: str, preprocessing: Mapping[str, Any], engine_key: str) -> str:
    """The digest of everything that makes a row, but for the photo."""
    parts = json.dumps([graph_key, dict(preprocessing), engine_key], sort_keys=True)
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


class RowCache(Protocol):
    """Rows by photo digest: on disk, or in memory."""

    def __contains__(self, image: bytes) -> bool: ...

    def write(self, images: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Take in the rows `n ...` of these photos."""

    def merge(self) -> None:
        """Tidy up after a pass over photos."""

    def locate(self, images: Sequence[bytes]) -> NDArray[np.int64]:
        """Where the rows of these photos are, a number each that only `at` understands."""

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, `n ...`; some may be in float16."""


class MemoryCache:
    """Rows that are kept for this process only, over those that lie on disk."""

    def __init__(self, below: RowCache) -> None:
        self._below = below
        self._rows: list[NDArray[Any]] = []
        self._own: dict[bytes, int] = {}

    def __contains__(self, image: bytes) -> bool:
        return image in self._own or image in self._below

    def write(self, images: Sequence[bytes], rows: NDArray[Any]) -> None:
        first = len(self._rows)
        self._rows.extend(rows)
        self._own.update(zip(images, range(first, first + len(rows)), strict=True))

    def merge(self) -> None:
        """Nothing: memory has no files, and those below were not written to."""

    def locate(self, images: Sequence[bytes]) -> NDArray[np.int64]:
        """Own rows are told from those below by a number under 0."""
        own = [-1 - self._own.get(image, -1) for image in images]
        places = np.array(own, np.int64)
        others = [image for image in images if image not in self._own]
        places[places == 0] = self._below.locate(others)
        return places

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        below = iter(self._below.at(places[places >= 0]) if (places >= 0).any() else ())
        return np.stack([self._rows[-1 - p] if p < 0 else next(below) for p in places.tolist()])


class RowStore:
    """The stored rows of one frontier tensor: a mapping from photo digest to row."""

    def __init__(self, maker: str, about: Mapping[str, Any]) -> None:
        self.folder = store_folder() / maker
        self.damaged: dict[Path, str] = {}
        """Shards that are damaged, with the reason. Their rows count as not stored."""
        self._about = dict(about)
        self._maker = maker
        self._shards: list[Shard] = []
        self._numbers: dict[Path, int] = {}
        """The numbers of the shards that are there; others have been merged or removed."""
        self._places: dict[bytes, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have written, merged or removed since."""
        there = self._listed()
        while not all(self._open(path) for path in there if self._is_new(path)):
            there = self._listed()  # a shard has been merged since it was listed
        if gone := self._numbers.keys() - set(there):
            for path in gone:
                del self._numbers[path]
            self._places.clear()
            for number in sorted(self._numbers.values()):
                self._place(number)

    def __contains__(self, image: bytes) -> bool:
        return image in self._places

    def __len__(self) -> int:
        return len(self._places)

    def write(self, images: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Store the rows of these photos; once it returns they survive `kill -9`."""
        keys = np.frombuffer(b"".join(images), np.uint8).reshape(-1, IMAGE_BYTES)
        content = shard_content(self._maker, keys, rows)
        path = shard_path(self.folder, content)
        try:
            if not (self.folder / "about.json").exists():
                write_json(self.folder / "about.json", self._about)
            with_descriptors(lambda: _write_whole(path, content))
        except OSError as problem:
            raise StoreError(
                f"Cannot write to the feature store: {problem.strerror or problem}.",
                expected="What was stored before is kept.",
                next="Free some disk, set BUDWOOD_HOME to a larger one, or pass --store-limit 0.",
                file=path.parent,
            ) from problem
        self.damaged.pop(path, None)
        if self._is_new(path) and not self._open(path):
            self.refresh()

    def merge(self) -> None:
        """Put many small shards together; what hinders it is logged, as no row is lost by it."""
        shards = [self._shards[number] for number in self._numbers.values()]
        try:
            merge(shards, self._maker)
        except OSError as problem:
            _log.warning("The shards in %s cannot be merged: %s", self.folder, problem)
        self.refresh()

    def locate(self, images: Sequence[bytes]) -> NDArray[np.int64]:
        return np.fromiter((self._places[image] for image in images), np.int64, len(images))

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, `n ...`, in their order, copied."""
        for _ in range(len(self._shards) + TRIES):  # each try in vain has seen a shard go
            try:
                return self._read(self._moved(places))
            except StoreError:
                raise
            except FileNotFoundError:  # another process has merged it
                self.refresh()
            except OSError as problem:
                raise unreadable(Path(problem.filename or self.folder), problem) from problem
        raise StoreError(
            f"Stored features in {self.folder} were removed while they were in use.",
            next="Run it again, and `budwood cache clear` only when nothing else runs.",
            file=self.folder,
        )

    def _read(self, places: NDArray[np.int64]) -> NDArray[Any]:
        numbers, rows = places // SHARD_ROWS, places % SHARD_ROWS
        used = np.unique(numbers)
        if len(used) == 1:
            return np.asarray(self._shards[used[0]].rows[rows])
        shards = [self._shards[number] for number in used]
        kind = np.result_type(*(shard.dtype for shard in shards))
        out = np.empty((len(places), *shards[0].shape[1:]), kind)
        step = max(1, BLOCK_BYTES // max(1, shards[0].bytes // shards[0].shape[0]))
        for number, shard in zip(used, shards, strict=True):
            here = np.flatnonzero(numbers == number)
            stored = shard.rows
            for start in range(0, len(here), step):
                some = here[start : start + step]
                out[some] = stored[rows[some]]
        return out

    def _moved(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same places; where a shard has gone, those of the same photos in another."""
        if len(self._numbers) == len(self._shards):
            return places
        there = np.fromiter(self._numbers.values(), np.int64, len(self._numbers))
        found = places.copy()
        for i in np.flatnonzero(~np.isin(places // SHARD_ROWS, there)):
            number, row = divmod(int(places[i]), SHARD_ROWS)
            image = self._shards[number].images[row].tobytes()
            found[i] = self._places.get(image, found[i])
        return found

    def _listed(self) -> list[Path]:
        try:
            return shard_paths(self.folder)
        except OSError as problem:
            raise unreadable(self.folder, problem) from problem

    def _is_new(self, path: Path) -> bool:
        return path not in self._numbers and path not in self.damaged

    def _open(self, path: Path) -> bool:
        """Take in a shard, or that it is damaged; false if it has gone."""
        try:
            shard = open_shard(path)
        except StoreError as problem:
            self.damaged[path] = problem.problem
            return True
        except FileNotFoundError:
            return False
        except OSError as problem:
            raise unreadable(path, problem) from problem
        self._numbers[path] = len(self._shards)
        self._shards.append(shard)
        self._place(self._numbers[path])
        return True

    def _place(self, number: int) -> None:
        """Note where the photos of a shard are; those of an earlier one stay there."""
        first = SHARD_ROWS * number
        images = self._shards[number].images.view(f"V{IMAGE_BYTES}").ravel().tolist()
        for row, image in enumerate(images, first):
            self._places.setdefault(image, row)


def stored_makers() -> Iterator[Path]:
    """The folders of the store, one a maker; folders with nothing of the store's are left out."""
    folder = store_folder()
    try:
        yield from (path for path in sorted(folder.iterdir()) if _is_maker(path))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        raise unreadable(folder, problem) from problem


def stored_bytes() -> int:
    """Bytes of all shards together."""
    total = 0
    for shard in store_folder().glob("*/*.safetensors"):
        with suppress(FileNotFoundError):  # another process may be clearing the store
            total += shard.stat().st_size
    return total


def _is_maker(folder: Path) -> bool:
    """True for a folder that holds, or was to hold, rows, or that is closed to us."""
    if not os.path.isdir(folder):
        return False
    try:
        if shard_paths(folder) or not os.listdir(folder):
            return True
    except OSError:
        return True
    return (folder / "about.json").exists() or any(folder.glob(".*.partial"))


def _write_whole(path: Path, content: bytes) -> None:
    with whole_file(path) as file:
        file.write(content)


def room_for(
    count: int, row_bytes: int, store_limit: int | None
) -> tuple[Literal["disk", "memory", "nowhere"], str]:
    """Where the rows of so many images go, and what to tell the user about it."""
    need = count * row_bytes
    size = f"{count} photos x {byte_size(row_bytes)} = {byte_size(need)}"
    reason = _full(need, store_limit)
    if reason is None:
        return "disk", f"{size} through the trunk."
    if need <= IN_MEMORY:
        return "memory", f"{size}, but {reason}: nothing is stored, memory holds it for this run."
    return "nowhere", (
        f"{size}, but {reason}, and memory is too small: the trunk runs uncached, once for each "
        "pass over the photos."
    )


def _full(need: int, store_limit: int | None) -> str | None:
    """Why so many bytes cannot be stored; None if they can."""
    if store_limit is not None and (used := stored_bytes()) + need > store_limit:
        return f"the store holds {byte_size(used)} and --store-limit is {byte_size(store_limit)}"
    if need > (free := max(0, _free_disk() - SPARE_DISK)):
        return f"only {byte_size(free)} of disk are free for {store_folder()}"
    return None


def _free_disk() -> int:
    folder = store_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
