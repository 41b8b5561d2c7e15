"""Small shards become one: a pass over photos stores rows every few seconds, a shard each time.

The merged shard is in its place before the small ones are removed, so whoever is killed, whenever,
leaves every row where it can be found. Others may read, write and merge at the same time: a reader
whose shard has gone finds its rows in the merged one (`RowStore.at`), and of two that merge one
leaves it to the other.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from budwood.features.shards import (
    MAPS,
    PHOTO_BYTES,
    Shard,
    digest_of,
    shard_content,
    shard_path,
)
from budwood.files import whole_file

SMALL_BYTES = 16 * 2**20
"""Shards with less than this are merged."""
MERGED_BYTES = 64 * 2**20
"""A merged shard has about so many bytes: it is in memory while it is made."""
MANY = 16
"""So few small shards may stay as they are."""

_log = logging.getLogger("budwood")


def merge(shards: Sequence[Shard], maker: str) -> None:
    """Merge the small ones of a maker's shards, if there are many.

    Raises:
        OSError: If the disk is full or cannot be read or written; all rows are kept.
    """
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
        photos = [photo.tobytes() for photo in shard.photos]
        new = [i for i, photo in enumerate(photos) if photo not in known]
        known.update(photos)
        are_all = len(new) == len(photos)  # as nearly always: nothing need be copied
        parts.append((shard.photos, rows) if are_all else (shard.photos[new], rows[new]))
        merged.append(shard)
    if len(merged) < 2:
        return
    keys, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    content = shard_content(maker, keys.reshape(-1, PHOTO_BYTES), values)
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
