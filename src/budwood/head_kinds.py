"""The kinds of classification heads: how each is asked for, and its layers. A kind is one row.

Imports no torch: what makes layers is given `torch.nn`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Layer = Callable[[int, int], Any]
"""A linear layer, or a 1x1 convolution where the network classifies by one: widths in and out."""


@dataclass(frozen=True)
class HeadKind:
    """A row of the table."""

    example: str
    """As it is asked for: `mlp:2048,1024`."""
    takes_widths: bool
    """Whether widths follow the name."""
    layers: Callable[[Any, Layer, tuple[int, ...]], list[Any]]
    """The modules in order, from `torch.nn`, what makes a layer, and the widths of the features,
    of hidden layers and of the classes."""

    def pattern(self, name: str) -> str:
        """A regular expression for what asks for it."""
        return rf"{name}:[1-9]\d*(,[1-9]\d*)*" if self.takes_widths else name


def _linear(nn: Any, layer: Layer, widths: tuple[int, ...]) -> list[Any]:
    return [layer(*widths)]


def _mlp(nn: Any, layer: Layer, widths: tuple[int, ...]) -> list[Any]:
    hidden: list[Any] = []
    for entering, leaving in pairwise(widths[:-1]):
        hidden += [layer(entering, leaving), nn.ReLU(), nn.Dropout(0.5)]
    return [*hidden, layer(*widths[-2:])]


HEAD_KINDS = {
    "linear": HeadKind("linear", False, _linear),
    "mlp": HeadKind("mlp:2048,1024", True, _mlp),
}


def head_of(head: str) -> tuple[HeadKind, tuple[int, ...]]:
    """The kind and the hidden widths that a head is asked for by.

    Example:
        >>> head_of("mlp:2048,1024")[1], head_of("linear")[1]
        ((2048, 1024), ())
    """
    name, _, widths = head.partition(":")
    return HEAD_KINDS[name], tuple(int(width) for width in widths.split(",") if width)


def head_pattern() -> str:
    """A regular expression for every head that can be asked for."""
    return "|".join(kind.pattern(name) for name, kind in HEAD_KINDS.items())


def head_examples() -> str:
    """One of each kind: `linear|mlp:2048,1024`."""
    return "|".join(kind.example for kind in HEAD_KINDS.values())


def head_grammar() -> str:
    """How a head must be asked for, in words."""
    ways = [
        f"{name}: and the widths of hidden layers: {kind.example}" if kind.takes_widths else name
        for name, kind in HEAD_KINDS.items()
    ]
    return f"It must be {', or '.join(ways)}."
