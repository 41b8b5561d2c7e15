"""The digest of all that a capsule holds; the same whether torch or NumPy has read it."""

import hashlib
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

Part = tuple[str, str, tuple[int, ...], NDArray[Any]]
"""Name, torch's name of its type, shape, and the values in any type of as many bytes."""


def capsule_digest(parts: Iterable[Part], about: str) -> str:
    """A digest of every tensor, and of what the capsule says of itself."""
    hasher = hashlib.blake2b(about.encode(), digest_size=16)
    for name, kind, shape, values in sorted(parts, key=lambda part: part[0]):
        hasher.update(f"{name} {kind} {shape}".encode())
        if values.size:
            hasher.update(values.reshape(-1).view("u1").data)
    return hasher.hexdigest()
