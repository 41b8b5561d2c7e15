"""Shards: the files that stored rows lie in, and the few of them that are mapped at any time.

A shard is a safetensors file with `photos` (`n 16`, digests) and `rows` (`n ...`). What is wrong
with its content makes it *damaged*; what keeps it from being read says nothing about it. Small
shards become one, which is in its place before they are removed: no row is ever lost.
"""

import errno
import hashlib
import json
import logging
import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import save

from budwood.errors import StoreError
from budwood.files import whole_file

FORMAT = "budwood-rows-1"
IMAGE_BYTES = 16
MOST_MAPS = 64
"""Shards that are mapped at once: each takes a file descriptor, of which macOS gives 256."""
SMALL_BYTES = 16 * 2**20
"""Shards with less than this are merged."""
MERGED_BYTES = 64 * 2**20
"""A merged shard has about so many bytes: it is in memory while it is made."""
MANY = 16
"""So few small shards may stay as they are."""

_log = logging.getLogger("budwood")
_NAME = re.compile(r"[0-9a-f]{32}\.safetensors")
_TOO_MANY_FILES = errno.EMFILE, errno.ENFILE

Opened = TypeVar("Opened")


@dataclass(frozen=True, eq=False)
class Shard:
    """One file of the store: photo digests, and rows that are read only when needed."""

    path: Path
    images: NDArray[np.uint8]
    """`n 16`."""
    shape: tuple[int, ...]
    """The shape of all rows, `n ...`."""
    dtype: np.dtype[Any]
    start: int
    """Where in the file the rows begin."""

    @property
    def bytes(self) -> int:
        """Bytes of its rows."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def rows(self) -> NDArray[Any]:
        """`n ...`, a memory map that need not be kept."""
        return MAPS.of(self)


class Maps:
    """The shards that are mapped: those that were mapped last, no more than a few, and none that
    nobody holds any more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._maps: WeakKeyDictionary[Shard, NDArray[Any]] = WeakKeyDictionary()
        """The one mapped longest ago comes first, and goes first."""
        self._lock = Lock()

    def of(self, shard: Shard) -> NDArray[Any]:
        rows = self._maps.get(shard)
        if rows is not None:
            return rows
        rows = with_descriptors(lambda: _mapped(shard))
        with self._lock:
            self._maps[shard] = rows
            while len(self._maps) > self._most:
                self._maps.pop(next(self._maps.keys()), None)
        return rows

    def forget(self) -> None:
        """Let all files go."""
        with self._lock:
            self._maps.clear()


MAPS = Maps(MOST_MAPS)
"""Those of this process."""


def with_descriptors(open_file: Callable[[], Opened]) -> Opened:
    """What a function that opens a file gives; if none can be opened, maps are closed for it."""
    try:
        return open_file()
    except OSError as problem:
        if problem.errno not in _TOO_MANY_FILES:
            raise
        MAPS.forget()
        return open_file()


def shard_paths(folder: Path) -> list[Path]:
    """The shards in a folder, sorted; files that are named otherwise are none of the store's."""
    try:
        names = with_descriptors(lambda: os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if _NAME.fullmatch(name)]


def open_shard(path: Path) -> Shard:
    """A shard with its photos read, and its rows not."""
    try:
        with with_descriptors(lambda: path.open("rb")) as file:
            return _parsed(path, file)
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise damaged(path, "its header makes no sense") from None
    except ValueError as problem:
        raise damaged(path, str(problem)) from None


def is_intact(path: Path) -> bool:
    """True if every byte of a shard is as it was written."""
    try:
        open_shard(path)
    except StoreError:
        return False
    return digest_of(path.read_bytes()) == path.stem


def shard_content(maker: str, images: NDArray[np.uint8], rows: NDArray[Any]) -> bytes:
    """The bytes of a shard with these photos `n 16` and rows `n ...`."""
    tensors = {"photos": np.ascontiguousarray(images), "rows": np.ascontiguousarray(rows)}
    content: bytes = save(tensors, _about(maker))
    return content


def shard_path(folder: Path, content: bytes) -> Path:
    """Where a shard of this content is kept."""
    return folder / f"{digest_of(content)}.safetensors"


def digest_of(content: bytes) -> str:
    """What a shard of this content is called."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def damaged(path: Path, reason: str) -> StoreError:
    """The error for a file that is there, can be read, and is no shard as it was written."""
    return StoreError(
        f"{path.name} is damaged: {reason}.",
        next="`budwood cache verify` removes damaged files; their rows are computed again.",
        file=path,
    )


def unreadable(path: Path, problem: OSError) -> StoreError:
    """The error for a file, or folder, of the store that cannot be read now."""
    return StoreError(
        f"{path} of the feature store cannot be read: {problem.strerror or problem}.",
        expected="Nothing was removed.",
        next=(
            "Allow more open files (`ulimit -n 1024`) and run it again."
            if problem.errno in _TOO_MANY_FILES
            else "See that you may read it and that its disk is there, or set BUDWOOD_HOME to "
            "another folder."
        ),
        file=path,
    )


def merge(shards: Sequence[Shard], maker: str) -> None:
    """Merge the small ones of a maker's shards, if there are many."""
    small = [shard for shard in shards if shard.bytes < SMALL_BYTES]
    if len(small) < MANY:
        return
    try:
        with FileLock(small[0].path.with_name(".merging"), timeout=0):
            for group in _groups(small):
                _merge_group(group, maker)
    except Timeout:
        _log.info("Another process merges the shards of %s.", maker)


def _groups(shards: Sequence[Shard]) -> Iterator[list[Shard]]:
    """Shards with rows of one type and shape, together of about the size of a merged one."""
    alike = defaultdict(list)
    for shard in shards:
        alike[shard.dtype, shard.shape[1:]].append(shard)
    for kind in alike.values():
        sizes = np.cumsum([shard.bytes for shard in kind])
        for number in range(int((sizes[-1] - 1) // MERGED_BYTES) + 1):
            yield [
                s for s, end in zip(kind, sizes, strict=True) if (end - 1) // MERGED_BYTES == number
            ]


def _merge_group(shards: Sequence[Shard], maker: str) -> None:
    """One shard with the rows of several, each photo once."""
    parts, merged, known = [], [], set[bytes]()
    for shard in shards:
        rows = _checked_rows(shard)
        if rows is None:
            continue
        images = [image.tobytes() for image in shard.images]
        new = [i for i, image in enumerate(images) if image not in known]
        known.update(images)
        are_all = len(new) == len(images)  # as nearly always: nothing need be copied
        parts.append((shard.images, rows) if are_all else (shard.images[new], rows[new]))
        merged.append(shard)
    if len(merged) < 2:
        return
    keys, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    content = shard_content(maker, keys.reshape(-1, IMAGE_BYTES), values)
    place = shard_path(shards[0].path.parent, content)
    if not place.exists():
        with whole_file(place) as file:
            file.write(content)
    MAPS.forget()  # Windows removes no file that is mapped
    for shard in merged:
        if shard.path != place:
            _remove(shard)


def _checked_rows(shard: Shard) -> NDArray[Any] | None:
    """The rows of a shard that is as it was written; None of another."""
    try:
        content = shard.path.read_bytes()
    except FileNotFoundError:  # merged by another process, or cleared
        return None
    if digest_of(content) != shard.path.stem:
        _log.warning("%s is damaged; `budwood cache verify` removes it.", shard.path)
        return None
    count = int(np.prod(shard.shape))
    return np.frombuffer(content, shard.dtype, count, shard.start).reshape(shard.shape)


def _remove(shard: Shard) -> None:
    try:
        shard.path.unlink(missing_ok=True)
    except OSError as problem:  # Windows, where another process has it mapped: next time
        _log.info("%s is merged, and stays: %s", shard.path, problem)


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


def _parsed(path: Path, file: BinaryIO) -> Shard:
    size = os.fstat(file.fileno()).st_size
    start = 8 + int.from_bytes(file.read(8), "little")
    if start > size:
        raise ValueError("it ends within its header")
    header = json.loads(file.read(start - 8))
    if header["__metadata__"] != _about(path.parent.name):
        raise ValueError(f"it does not hold {FORMAT} of {path.parent.name}")
    (images_at, images_shape, images_type), (rows_at, shape, kind) = (
        _placed(header[name], start, size) for name in ("photos", "rows")
    )
    if images_type != np.uint8 or images_shape != (shape[0], IMAGE_BYTES):
        raise ValueError("its photos and rows do not belong together")
    file.seek(images_at)
    images = np.frombuffer(file.read(math.prod(images_shape)), np.uint8)
    return Shard(path, images.reshape(images_shape), shape, kind, rows_at)


def _placed(
    entry: Mapping[str, Any], start: int, size: int
) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Where in a file of `size` bytes a tensor begins, its shape and its type."""
    (begin, end), shape = entry["data_offsets"], tuple(entry["shape"])
    kind = np.dtype(_TYPES[entry["dtype"]])
    if (missing := start + end - size) > 0:
        raise ValueError(f"it ends {missing} bytes early")
    if not shape or math.prod(shape) * kind.itemsize != end - begin:
        raise ValueError("its header contradicts itself")
    return start + begin, shape, kind


def _mapped(shard: Shard) -> NDArray[Any]:
    try:
        # As a plain array: a memmap looks after each row that is taken from it.
        return np.asarray(np.memmap(shard.path, shard.dtype, "r", shard.start, shard.shape))
    except ValueError as problem:  # it was longer when it was opened
        raise damaged(shard.path, str(problem)) from None
