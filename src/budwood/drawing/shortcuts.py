"""What leads past a block's layers: shortcuts, and branches that end beside the main path."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from budwood.drawing.blocks import EXIT, BlockFrame, Link, Part
from budwood.drawing.boxes import Box
from budwood.surgery.tracing import reached

Style = Literal["plain", "identity", "projection"]


@dataclass(frozen=True)
class SideBranch:
    """Something beside the main path of a block, in the part numbers of the block."""

    source: int
    """Where it leaves the main path."""
    targets: tuple[int, ...]
    """Where it comes back; nowhere for an auxiliary head."""
    parts: tuple[int, ...] = ()
    """What it leads through, in order."""
    style: Style = "plain"
    """A shortcut leads to an addition, past layers with parameters. An identity shortcut has none
    itself; a projection has one 1x1 convolution."""


@dataclass(frozen=True)
class Paths:
    """A block's main path, with all branches of equal standing, and what is beside it."""

    links: tuple[Link, ...]
    sides: tuple[SideBranch, ...]


def paths_of(block: BlockFrame) -> Paths:
    """The main path of a block, and its sides.

    What is left of the links never leads past anything: where there are two ways from one part to
    another, each of them has parts on it.
    """
    links = block.links
    sides = list(_dead_ends(links))
    links = _without(links, sides)
    sides += _by_layers(block.parts, links, held={side.source for side in sides})
    links = _without(links, sides)
    skips = _skips(block.parts, links)
    taken = {(side.source, target) for side in skips for target in side.targets}
    return Paths(tuple(link for link in links if link not in taken), (*sides, *skips))


class _Links:
    """Links, looked at from both of their ends."""

    def __init__(self, links: Iterable[Link]) -> None:
        self.before: defaultdict[int, list[int]] = defaultdict(list)
        self.after: defaultdict[int, list[int]] = defaultdict(list)
        for source, target in links:
            self.after[source].append(target)
            self.before[target].append(source)

    def up_to(self, number: int) -> set[int]:
        """A part and all that leads to it."""
        return reached([number], lambda n: self.before.get(n, ()))

    def behind(self, number: int) -> set[int]:
        """A part and all that it leads to."""
        return reached([number], lambda n: self.after.get(n, ()))

    def is_closed(self, inner: set[int], entry: int, exit: int) -> bool:
        """True if one part feeds what is inside, and one is fed by it."""
        return all({*self.before[n]} <= {*inner, entry} for n in inner) and all(
            {*self.after[n]} <= {*inner, exit} for n in inner
        )


def _dead_ends(links: Sequence[Link]) -> Iterator[SideBranch]:
    """Branches that do not come back, each with all that is on it."""
    graph = _Links(links)
    ends = {target for _, target in links} - {source for source, _ in links}
    end = EXIT if EXIT in ends else max(sorted(ends), key=lambda n: len(graph.up_to(n)), default=0)
    alive = graph.up_to(end)
    dead = {number for link in links for number in link} - alive
    both_ways = _Links([*links, *((b, a) for a, b in links)])
    while dead:
        near = {n: [m for m in both_ways.after[n] if m in dead] for n in dead}
        together = reached([min(dead)], near.__getitem__)
        sources = {a for a, b in links if b in together and a not in together}
        if len(sources) == 1:
            yield SideBranch(sources.pop(), (), tuple(sorted(together)))
        dead -= together


def _by_layers(
    parts: Sequence[Part], links: Sequence[Link], held: set[int]
) -> Iterator[SideBranch]:
    """Shortcuts that lead through something: a projection, or a subsampling.

    What they lead past must be closed: nothing else comes into it or goes out of it, or its lines
    would have to cross the shortcut. Where a part is held, something leaves it that is no link.
    """
    graph = _Links(links)
    for target, part in enumerate(parts):
        operands = graph.before[target]
        if not _is_addition(part) or len(operands) != 2:
            continue
        for one, other in (operands, operands[::-1]):
            source, chain = _branch(graph, one, graph.up_to(other))
            style = _style([parts[i] for i in chain])
            past = graph.up_to(other) - graph.up_to(one)
            is_closed = graph.is_closed(past, source, target) and held.isdisjoint({*past, *chain})
            more = sum(_layers(parts[i]) for i in past) > sum(_layers(parts[i]) for i in chain)
            if chain and style and is_closed and more:
                yield SideBranch(source, (target,), chain, style)
                break


def _branch(graph: _Links, end: int, other: set[int]) -> tuple[int, tuple[int, ...]]:
    """The chain from a fork to the end of one of its branches, and the fork; no chain if there are
    forks within."""
    chain: list[int] = []
    while end not in other:
        if len(graph.before[end]) != 1 or len(graph.after[end]) != 1:
            return end, ()
        chain.insert(0, end)
        end = graph.before[end][0]
    return end, tuple(chain)


def _style(chain: Sequence[Part]) -> Style | None:
    """What kind of shortcut leads through these parts; None if it is no shortcut."""
    layers = [part for part in chain if _layers(part)]
    if not layers:
        return "identity"
    only = layers[0]
    is_projection = len(layers) == 1 and isinstance(only, Box) and only.is_pointwise
    return "projection" if is_projection else None


def _skips(parts: Sequence[Part], links: Sequence[Link]) -> list[SideBranch]:
    """Links past parts that lead the same way; those from one part are drawn as one line."""
    graph = _Links(links)
    found: defaultdict[tuple[int, Style], list[int]] = defaultdict(list)
    for source, target in links:
        if any(target in graph.behind(n) for n in graph.after[source] if n != target):
            is_shortcut = target >= 0 and _is_addition(parts[target])
            found[source, "identity" if is_shortcut else "plain"].append(target)
    return [SideBranch(source, tuple(ends), (), style) for (source, style), ends in found.items()]


def _without(links: Sequence[Link], sides: Iterable[SideBranch]) -> tuple[Link, ...]:
    gone = {number for side in sides for number in side.parts}
    return tuple(link for link in links if gone.isdisjoint(link))


def _is_addition(part: Part) -> bool:
    return isinstance(part, Box) and part.kind == "join" and part.title == "+"


def _layers(part: Part) -> int:
    """How many layers with parameters a part has."""
    if isinstance(part, Box):
        return int(part.state != "-")
    return part.times * sum(map(_layers, part.parts))
