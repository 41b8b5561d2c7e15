"""The digests of a capsule; the same whether torch or NumPy has read it.

One is of all that it holds, and is checked by whoever loads it. A network is large, though, and of
no use where its trunk is compiled already: so there is one of what answers then, which is all that
is read and checked there.
"""

import hashlib
from collections.abc import Iterable, Sequence
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


def answering_tensors(names: Iterable[str], chain: Sequence[tuple[str, str]]) -> list[str]:
    """The tensors of a capsule that answers on a compiled trunk: layers of the chain behind it,
    golden images, and what is known of its trust.

    Example:
        >>> names = ["golden.0.image", "network.conv.weight", "network.fc.weight", "trust.wrong"]
        >>> answering_tensors(names, [("linear", "network.fc")])
        ['golden.0.image', 'network.fc.weight', 'trust.wrong']
    """
    layers = {f"{name}.{part}" for _, name in chain for part in ("weight", "bias")}
    return [n for n in names if n in layers or n.startswith(("golden.", "trust."))]
