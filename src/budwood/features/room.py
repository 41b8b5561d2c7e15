"""Where rows can be kept: on disk, in memory for this run, or nowhere."""

import shutil
from typing import Literal

from budwood.features.rows import IN_MEMORY
from budwood.features.store import store_folder, stored_bytes
from budwood.text import byte_size

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
