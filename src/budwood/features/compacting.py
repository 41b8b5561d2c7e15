"""Rows in half the bytes, where that loses nothing that counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""The most that float16 may change rows by, as a share of the spread between photos. What bf16
arithmetic does to them is at least ten times as much."""


def compacted(rows: NDArray[Any]) -> NDArray[Any]:
    """The same rows in float16, if they fit; else as they are.

    They fit if no value is too large and the rounding is a thousandth of what the photos differ
    by. Rows that are no float32, and rows of photos that do not differ, stay as they are.

    Args:
        rows: `n ...`.

    Example:
        >>> compacted(np.array([[0.5], [1.25]], np.float32)).dtype
        dtype('float16')
        >>> compacted(np.array([[0.5], [1e6]], np.float32)).dtype
        dtype('float32')
    """
    if rows.dtype != np.float32:
        return rows
    with np.errstate(over="ignore"):
        small = rows.astype(np.float16)
    if not np.isfinite(small).all():
        return rows
    error = np.linalg.norm(small.astype(np.float32) - rows)
    spread = np.linalg.norm(rows - rows.mean(axis=0))
    return small if error < TOLERANCE * spread else rows
