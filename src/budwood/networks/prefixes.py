"""Names that differ by what stands before them: a wrapper around a network, or around a part."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from budwood.networks.states import State, is_counter

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Prefixes:
    """What to take off the names of a file, and what to put before them instead."""

    strip: str
    add: str

    def __str__(self) -> str:
        return f"{self.strip or 'no prefix'} -> {self.add or 'no prefix'}"


def best_prefixes(own: Mapping[str, Shape], state: Mapping[str, "Tensor"]) -> list[Prefixes]:
    """The prefixes under which most tensors agree in name and shape; several where they tie.

    Every pair of tensors of one shape, whose names end alike, votes for the prefixes that would
    make the names the same; the first in the order of the file comes first.

    Args:
        own: The shapes of a network's tensors by name.
        state: The tensors of a file.

    Example:
        >>> import torch
        >>> file = {"backbone.conv.weight": torch.ones(2, 3), "backbone.conv.bias": torch.ones(2)}
        >>> print(*best_prefixes({"conv.weight": (2, 3), "conv.bias": (2,), "fc.bias": (5,)}, file))
        backbone. -> no prefix
    """
    ends: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name, shape in own.items():
        for before, end in _splits(name):
            ends[end, shape].append(before)
    votes = Counter(
        Prefixes(strip, add)
        for name, tensor in state.items()
        if not is_counter(name)
        for strip, end in _splits(name)
        for add in ends.get((end, tuple(tensor.shape)), ())
        if not _end_alike(strip, add)
    )
    most = max(votes.values(), default=0)
    return [pair for pair, count in votes.items() if count == most]


def with_prefixes(own: Mapping[str, Shape], state: State, prefixes: Prefixes) -> State:
    """The state under its new names; what would only lose its counterpart by it stays."""
    kept = {name: tensor for name, tensor in state.items() if not _moves(own, name, prefixes)}
    moved = {
        _new_name(name, prefixes) if _new_name(name, prefixes) not in kept else name: tensor
        for name, tensor in state.items()
        if name not in kept
    }
    return kept | moved


def _moves(own: Mapping[str, Shape], name: str, prefixes: Prefixes) -> bool:
    to_network = _new_name(name, prefixes) in own
    return name.startswith(prefixes.strip) and (to_network or name not in own)


def _new_name(name: str, prefixes: Prefixes) -> str:
    return prefixes.add + name.removeprefix(prefixes.strip)


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name in two, at its start and at every dot: `("", "a.b")`, `("a.", "b")`."""
    start = 0
    while True:
        yield name[:start], name[start:]
        start = name.find(".", start) + 1
        if not start:
            return


def _end_alike(strip: str, add: str) -> bool:
    """Shorter prefixes say the same, and of more tensors."""
    return bool(strip and add) and strip.split(".")[-2] == add.split(".")[-2]
