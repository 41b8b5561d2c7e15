"""The feature store: one row a photo, on disk, under the hash of everything that made it.

    BUDWOOD_HOME/store/<maker>/about.json           what made these rows, for people
    BUDWOOD_HOME/store/<maker>/<digest>.safetensors  a shard: `photos` (n 16) and `rows` (n ...)

`maker` is the digest of the trunk's graph and weights, the preprocessing, and the engine with its
precision. A shard is written beside its place, synced, and renamed into it; it is named by the
digest of its content and never changed. So there are no locks: any number of processes may write
at once, and one that is killed leaves all that it had stored.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from budwood.errors import StoreError
from budwood.places import home, whole_file

FORMAT = "budwood-rows-1"
PHOTO_BYTES = 16
SHARD_ROWS = 2**32
"""More than a shard can hold: place 2 * SHARD_ROWS + 3 is row 3 of shard 2."""


def store_folder() -> Path:
    """Where all stored rows are."""
    return home() / "store"


def maker_key(graph_key: str, preprocessing: Mapping[str, Any], engine_key: str) -> str:
    """The digest of everything that makes a row, but for the photo."""
    parts = json.dumps([graph_key, dict(preprocessing), engine_key], sort_keys=True)
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Shard:
    """One file of the store, opened: photo digests, and rows that are read only when needed."""

    path: Path
    photos: tuple[bytes, ...]
    rows: NDArray[Any]
    """`n ...`, a memory map."""


class Shelf(Protocol):
    """Rows by photo digest: on disk, or in memory."""

    def __contains__(self, photo: bytes) -> bool: ...

    def write(self, photos: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Take in the rows `n ...` of these photos."""

    def locate(self, photos: Sequence[bytes]) -> NDArray[np.int64]:
        """Where the rows of these photos are, a number each that only `at` understands.

        Raises:
            KeyError: If a photo has no row.
        """

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, `n ...`; some may be in float16."""


class MemoryShelf:
    """Rows that are kept for this process only, over those that lie on disk."""

    def __init__(self, below: Shelf) -> None:
        self._below = below
        self._rows: list[NDArray[Any]] = []
        self._own: dict[bytes, int] = {}

    def __contains__(self, photo: bytes) -> bool:
        return photo in self._own or photo in self._below

    def write(self, photos: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Keep the rows of these photos in memory."""
        first = len(self._rows)
        self._rows.extend(rows)
        self._own.update(zip(photos, range(first, first + len(rows)), strict=True))

    def locate(self, photos: Sequence[bytes]) -> NDArray[np.int64]:
        """Own rows are told from those below by a number under 0."""
        own = [-1 - self._own.get(photo, -1) for photo in photos]
        places = np.array(own, np.int64)
        others = [photo for photo in photos if photo not in self._own]
        places[places == 0] = self._below.locate(others)
        return places

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, `n ...`."""
        below = iter(self._below.at(places[places >= 0]) if (places >= 0).any() else ())
        return np.stack([self._rows[-1 - p] if p < 0 else next(below) for p in places.tolist()])


class RowStore:
    """The stored rows of one frontier tensor: a mapping from photo digest to row."""

    def __init__(self, maker: str, about: Mapping[str, Any]) -> None:
        """Open, or prepare, the rows of one maker.

        Args:
            maker: See `maker_key`.
            about: What made the rows, for people; written beside them with the first row.
        """
        self.folder = store_folder() / maker
        self.damaged: dict[Path, str] = {}
        """Shards that cannot be read, with the reason. Their rows count as not stored."""
        self._about = dict(about)
        self._maker = maker
        self._shards: list[Shard] = []
        self._names: set[str] = set()
        self._places: dict[bytes, int] = {}
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes have written since."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in self._names and path not in self.damaged:
                try:
                    self._take_in(open_shard(path))
                except StoreError as problem:
                    self.damaged[path] = problem.problem

    def __contains__(self, photo: bytes) -> bool:
        return photo in self._places

    def __len__(self) -> int:
        return len(self._places)

    def write(self, photos: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Store the rows of these photos; once it returns they survive `kill -9`.

        Args:
            photos: One 16-byte digest a row.
            rows: `n ...`.

        Raises:
            StoreError: If the disk is full or cannot be written; all earlier rows are kept.
        """
        keys = np.frombuffer(b"".join(photos), np.uint8).reshape(-1, PHOTO_BYTES)
        tensors = {"photos": keys.copy(), "rows": np.ascontiguousarray(rows)}
        content = save(tensors, _about(self._maker))
        path = self.folder / f"{_digest(content)}.safetensors"
        try:
            if not (self.folder / "about.json").exists():
                with whole_file(self.folder / "about.json") as file:
                    file.write(json.dumps(self._about, indent=2).encode())
            with whole_file(path) as file:
                file.write(content)
        except OSError as problem:
            raise StoreError(
                f"Cannot write to the feature store: {problem.strerror or problem}.",
                expected="What was stored before is kept.",
                next="Free some disk, set BUDWOOD_HOME to a larger one, or pass --store-limit 0.",
                file=path.parent,
            ) from problem
        self.damaged.pop(path, None)
        self._take_in(open_shard(path))

    def locate(self, photos: Sequence[bytes]) -> NDArray[np.int64]:
        """Where the rows of these photos are.

        Raises:
            KeyError: If a photo has no row.
        """
        return np.fromiter((self._places[photo] for photo in photos), np.int64, len(photos))

    def at(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at these places, `n ...`, in their order, copied."""
        numbers, rows = places // SHARD_ROWS, places % SHARD_ROWS
        used = np.unique(numbers)
        if len(used) == 1:
            return np.asarray(self._shards[used[0]].rows[rows])
        shards = [self._shards[number].rows for number in used]
        out = np.empty((len(places), *shards[0].shape[1:]), np.result_type(*shards))
        for number, shard in zip(used, shards, strict=True):
            here = numbers == number
            out[here] = shard[rows[here]]
        return out

    def _take_in(self, shard: Shard) -> None:
        first = SHARD_ROWS * len(self._shards)
        self._shards.append(shard)
        self._names.add(shard.path.name)
        for i, photo in enumerate(shard.photos):
            self._places.setdefault(photo, first + i)


def open_shard(path: Path) -> Shard:
    """A shard with its rows mapped, not read.

    Raises:
        StoreError: If the file is cut short or is no shard of this folder; the error names it.
    """
    try:
        header, start = _header(path)
        photos, rows = (_mapped(path, header[name], start) for name in ("photos", "rows"))
        if photos.dtype != np.uint8 or photos.shape != (len(rows), PHOTO_BYTES):
            raise ValueError("its photos and rows do not belong together")
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise _damaged(path, "its header makes no sense") from None
    except (ValueError, OSError) as problem:
        raise _damaged(path, getattr(problem, "strerror", None) or str(problem)) from None
    return Shard(path, tuple(photo.tobytes() for photo in np.array(photos)), rows)


def is_intact(path: Path) -> bool:
    """True if every byte of a shard is as it was written."""
    try:
        open_shard(path)
    except StoreError:
        return False
    return _digest(path.read_bytes()) == path.stem


def stored_makers() -> Iterator[Path]:
    """The folders of the store, one a maker."""
    folder = store_folder()
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.is_dir())


def stored_bytes() -> int:
    """Bytes of all shards together."""
    total = 0
    for shard in store_folder().glob("*/*.safetensors"):
        with suppress(FileNotFoundError):  # another process may be clearing the store
            total += shard.stat().st_size
    return total


_TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def _about(maker: str) -> dict[str, str]:
    """What a shard says of itself; one entry, because several come in any order."""
    return {"budwood": f"{FORMAT} {maker}"}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What a shard says of its tensors, and where in the file they begin."""
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if start > path.stat().st_size:
            raise ValueError("it ends within its header")
        header = json.loads(file.read(start - 8))
    if header["__metadata__"] != _about(path.parent.name):
        raise ValueError(f"it does not hold {FORMAT} of {path.parent.name}")
    return header, start


def _mapped(path: Path, entry: Mapping[str, Any], start: int) -> NDArray[Any]:
    (begin, end), shape = entry["data_offsets"], tuple(entry["shape"])
    kind = np.dtype(_TYPES[entry["dtype"]])
    missing = start + end - path.stat().st_size
    if missing > 0:
        raise ValueError(f"it ends {missing} bytes early")
    if math.prod(shape) * kind.itemsize != end - begin:
        raise ValueError("its header contradicts itself")
    return np.memmap(path, kind, "r", start + begin, shape)


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path.name} is damaged: {reason}.",
        next="`budwood cache verify` removes damaged files; their rows are computed again.",
        file=path,
    )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
