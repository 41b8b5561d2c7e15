"""Heads carried over by the NAMES of classes: each row goes where its class is, in any order."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from budwood.errors import ConfigError
from budwood.images.names import normalised
from budwood.networks.class_lists import Names
from budwood.networks.heads import MLPHead, head_names

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 5


@dataclass(frozen=True)
class Heads:
    """Which tensors of a network are its heads', and whose classes they and a file are for."""

    prefixes: tuple[str, ...]
    """What the names of the heads' tensors begin with."""
    rows: frozenset[str]
    """The tensors with a row for each class."""
    own: Names | None = None
    """The network's classes in order, where they are known."""
    given: Names | None = None
    """The file's."""
    are_new: bool = False
    """The heads were just made for other classes: only rows with a name are carried over."""

    def holds(self, name: str) -> bool:
        """True for a tensor of a head."""
        return name.startswith(self.prefixes) if self.prefixes else False

    def is_named(self, name: str, own: "Tensor", given: "Tensor") -> bool:
        """True if each row of both tensors has a class with a name, and the rows are alike."""
        return (
            name in self.rows
            and self.own is not None
            and self.given is not None
            and own.ndim > 0
            and given.ndim > 0
            and len(own) == len(self.own)
            and len(given) == len(self.given)
            and own.shape[1:] == given.shape[1:]
        )

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The rows in the file and in the network that are of one class.

        A name that the file has twice says nothing.

        Example:
            >>> Heads((), frozenset(), own=("cat", "dog"), given=("dog", "emu")).pairs()
            ((0, 1),)
        """
        given, own = (
            [normalised(name) for name in names or ()] for names in (self.given, self.own)
        )
        times = Counter(given)
        places = {name: row for row, name in enumerate(given) if times[name] == 1}
        return tuple((places[name], row) for row, name in enumerate(own) if name in places)

    def said(self) -> str:
        """How many rows are carried over, of which classes."""
        own = self.own or ()
        names = [own[row] for _, row in self.pairs()]
        return f"{len(names)} of {len(own)} rows by name: {_listed(names)}"

    def differing(self) -> str:
        """The classes of both sides."""
        return f"the file's are {_listed(self.given or ())}; here {_listed(self.own or ())}"


def heads_of(network: "nn.Module") -> Heads:
    """The heads of a network, auxiliary ones too; none where none is recognised.

    Example:
        >>> from torch import nn
        >>> sorted(heads_of(nn.Sequential(nn.Flatten(), nn.Linear(12, 5))).rows)
        ['1.bias', '1.weight']
    """
    try:
        paths = head_names(network)
    except ConfigError:
        return Heads((), frozenset())
    last = [_last_layer(network, path) for path in paths]
    rows = frozenset(f"{path}.{kind}" for path in last for kind in ("weight", "bias"))
    return Heads(tuple(f"{path}." for path in paths), rows)


def _last_layer(network: "nn.Module", path: str) -> str:
    head = network.get_submodule(path)
    return f"{path}.{len(head) - 1}" if isinstance(head, MLPHead) else path


def _listed(names: "list[str] | Names") -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])
