"""Where rows can be kept: on disk, in memory for this run, or nowhere."""

import shutil
from typing import Literal

from budwood.features.rows import IN_MEMORY
from budwood.features.store import store_folder, stored_bytes

SPARE_DISK = 16 * 2**20
"""Bytes of free disk that stored rows never take."""


def room_for(
    count: int, row_bytes: int, store_limit: int | None
) -> tuple[Literal["disk", "memory", "nowhere"], str]:
    """Where the rows of so many photos go, and what to tell the user about it.

    Args:
        count: Photos.
        row_bytes: Bytes of one photo's rows.
        store_limit: Bytes that the whole store may take; None for what the disk has.
    """
    need = count * row_bytes
    size = f"{count} photos x {in_words(row_bytes)} = {in_words(need)}"
    reason = _full(need, store_limit)
    if reason is None:
        return "disk", f"{size} through the trunk."
    if need <= IN_MEMORY:
        return "memory", f"{size}, but {reason}: nothing is stored, memory holds it for this run."
    return "nowhere", (
        f"{size}, but {reason}, and memory is too small: the trunk runs uncached, once for each "
        "pass over the photos."
    )


def in_words(count: int) -> str:
    """Bytes for people.

    Example:
        >>> in_words(1_302_528)
        '1.3 MB'
    """
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}"


def _full(need: int, store_limit: int | None) -> str | None:
    """Why so many bytes cannot be stored; None if they can."""
    if store_limit is not None and (used := stored_bytes()) + need > store_limit:
        return f"the store holds {in_words(used)} and --store-limit is {in_words(store_limit)}"
    if need > (free := max(0, _free_disk() - SPARE_DISK)):
        return f"only {in_words(free)} of disk are free for {store_folder()}"
    return None


def _free_disk() -> int:
    folder = store_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
