"""The names under which a file keeps a network's tensors, and the same under the network's own.

Tried are the names as they are and as the architecture's library converts them, then the same from
the names of the `efficientnet_pytorch` library, then all of these under other prefixes. The first
layout that has the whole network but for its heads is taken, else the one that fits most tensors.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from budwood.models.states import State, is_counter

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[int, ...]
Converter = Callable[[State], Iterator[State]]
"""A state as it is, then as a library converts it: `layouts` of a source."""


@dataclass(frozen=True)
class Layout:
    """The tensors of a file under a network's names, as far as they are known."""

    state: State
    notes: tuple[str, ...] = ()
    """What was not certain."""


@dataclass(frozen=True)
class Prefixes:
    """What to take off the names of a file, and what to put before them instead."""

    strip: str
    add: str


def best_layout(
    network: "nn.Module", state: State, convert: Converter, heads: tuple[str, ...] = ()
) -> Layout:
    """The layout under which most of a file's tensors fit a network, of whose `heads` any shape."""
    own = shapes(network)
    needed = {name for name in own if not (is_counter(name) or name.startswith(heads))}
    best, most = Layout(state), -1
    for layout in _layouts(own, state, convert):
        matched = _matched(own, layout.state)
        if needed and needed <= matched:
            return layout
        if len(matched) > most:
            best, most = layout, len(matched)
    return best


def shapes(network: "nn.Module") -> dict[str, Shape]:
    """The shapes of all tensors of a network by name."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def from_efficientnet_pytorch(state: "Mapping[str, Tensor]") -> State | None:
    """The tensors of that library's EfficientNet under timm's names; None if it is none.

    That library counts the blocks in a row. timm counts them by stage, and a stage begins where
    the width of the blocks' output changes; its blocks without expansion, those of the first
    stage, have names of their own.
    """
    stem = next((name for name in state if name.endswith(_STEM)), None)
    if stem is None:
        return None
    before = stem.removesuffix(_STEM)
    inner = {name.removeprefix(before): name for name in state if name.startswith(before)}
    places = _places(inner, state)
    names = {name: before + _timm_name(rest, inner, places) for rest, name in inner.items()}
    return {names.get(name, name): tensor for name, tensor in state.items()}


_STEM = "_conv_stem.weight"
_PROJECTION = re.compile(r"_blocks\.(\d+)\._project_conv\.weight")
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")

_AROUND = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_EXPANDING = _SQUEEZE | {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_SEPARABLE = _SQUEEZE | {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def _places(inner: Mapping[str, str], state: "Mapping[str, Tensor]") -> dict[int, tuple[int, int]]:
    """Stage and place in it of each block, by its number in the row."""
    found = ((_PROJECTION.fullmatch(rest), name) for rest, name in inner.items())
    widths = {int(match[1]): len(state[name]) for match, name in found if match}
    places: dict[int, tuple[int, int]] = {}
    stage, place, last = -1, 0, 0
    for number, width in sorted(widths.items()):
        stage, place = (stage, place + 1) if width == last else (stage + 1, 0)
        places[number], last = (stage, place), width
    return places


def _timm_name(rest: str, inner: Mapping[str, str], places: dict[int, tuple[int, int]]) -> str:
    if (block := _BLOCK.fullmatch(rest)) is None:
        layer, _, end = rest.partition(".")
        return f"{_AROUND[layer]}.{end}" if layer in _AROUND else rest
    number, layer, end = int(block[1]), block[2], block[3]
    expands = f"_blocks.{number}._expand_conv.weight" in inner
    names = _EXPANDING if expands else _SEPARABLE
    if layer not in names or number not in places:
        return rest
    stage, place = places[number]
    return f"blocks.{stage}.{place}.{names[layer]}.{end}"


def _layouts(own: Mapping[str, Shape], state: State, convert: Converter) -> Iterator[Layout]:
    foreign = from_efficientnet_pytorch(state)
    named = (state,) if foreign is None else (state, foreign)
    for base in named:
        yield from map(Layout, convert(base))
    for base in named:
        best = best_prefixes(own, base)
        if best and Prefixes("", "") not in best:
            notes = _twice(best)
            moved = with_prefixes(own, base, best[0])
            yield from (Layout(converted, notes) for converted in convert(moved))


def _twice(best: list[Prefixes]) -> tuple[str, ...]:
    """A note, if a file holds a network more than once, as those of contrastive learning do."""
    taken, *others = best
    left = [other.strip for other in others if other.add == taken.add]
    if not left:
        return ()
    return (
        f"The file holds this network more than once: what begins with {taken.strip!r} was "
        f"taken, not {' or '.join(map(repr, left))}.",
    )


def _matched(own: Mapping[str, Shape], state: State) -> set[str]:
    """The names under which a state has a network's tensors, in shape too."""
    fitting = (name for name, tensor in state.items() if own.get(name) == tuple(tensor.shape))
    return {name for name in fitting if not is_counter(name)}


def best_prefixes(own: Mapping[str, Shape], state: Mapping[str, "Tensor"]) -> list[Prefixes]:
    """The prefixes under which most tensors agree in name and shape; several where they tie.

    Every pair of tensors of one shape whose names end alike votes for the prefixes that would make
    the names the same.
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
    new = {
        name: prefixes.add + name.removeprefix(prefixes.strip)
        for name in state
        if name.startswith(prefixes.strip)
    }
    moving = [name for name, other in new.items() if other in own or name not in own]
    kept = {name: tensor for name, tensor in state.items() if name not in moving}
    return kept | {name if new[name] in kept else new[name]: state[name] for name in moving}


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A name in two, at its start and at every dot: `("", "a.b")`, `("a.", "b")`."""
    start = 0
    while True:
        yield name[:start], name[start:]
        start = name.find(".", start) + 1
        if not start:
            return


def _end_alike(strip: str, add: str) -> bool:
    """True if shorter prefixes say the same, and of more tensors."""
    return bool(strip and add) and strip.split(".")[-2] == add.split(".")[-2]
