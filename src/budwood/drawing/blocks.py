"""From boxes to nested blocks: which modules of a network get a frame of their own.

A module is framed if it holds two boxes or more. Not framed are modules that hold nothing but one
block, and lists of layers inside a module that joins values itself: those are its branches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Union

from torch import nn

from budwood.drawing.boxes import Box, Boxes, boxes_of
from budwood.drawing.steps import GraphStep, GraphSteps

ENTRY = -1
"""In links: what a block is given."""
EXIT = -2
"""In links: what a block gives."""

Part = Union[Box, "BlockFrame"]
Link = tuple[int, int]
"""From one part to another, by number; or from `ENTRY`, or to `EXIT`."""


@dataclass(frozen=True)
class BlockFrame:
    """Boxes and blocks with a frame around them, and what leads from one to the other."""

    name: str
    """The path of the module; nothing for the network."""
    type: str
    is_list: bool
    """True for a plain list of layers, such as `nn.Sequential`: its type says nothing."""
    parts: tuple[Part, ...]
    """In the order in which they run."""
    links: tuple[Link, ...]
    times: int = 1
    """How many of this block there are, one after the other."""
    last: str = ""
    """The path of the last of them."""

    @property
    def parameters(self) -> int:
        """All parameters in it, counted as often as it is there."""
        return self.times * sum(part.parameters for part in self.parts)


def links_between(links: Iterable[Link], number: Mapping[int, int]) -> tuple[Link, ...]:
    """The links of what has a number here, in these numbers; what has none is outside."""
    renamed = {
        (number.get(source, ENTRY), number.get(target, EXIT)): None
        for source, target in links
        if source in number or target in number
    }
    return tuple((a, b) for a, b in renamed if a != b)


def blocks_of(steps: GraphSteps, network: nn.Module) -> BlockFrame:
    """The network as nested blocks; the outermost is the network itself."""
    # A note behind a block may belong to the module around it, as the activation of
    # `relu(self.block(x))` does: it then has a box of its own.
    apart: set[GraphStep] = set()
    while True:
        boxes = boxes_of(steps, apart)
        whole, framed = _framed(boxes, network)
        astray = {step for group in boxes.members for step in _astray(group, framed)}
        if not astray:
            return whole
        apart |= astray


@dataclass
class _Frame:
    call: str
    path: str
    nodes: list[Union[int, "_Frame"]]


def _framed(boxes: Boxes, network: nn.Module) -> tuple[BlockFrame, set[str]]:
    """The network's block, and the calls of modules that have a frame."""
    framing = _Framing(boxes, lambda path: type(network.get_submodule(path)))
    nodes = framing.nodes(range(len(boxes.boxes)), 0)
    whole = _Frame("", "", nodes)
    return framing.block(whole), framing.calls(whole)


def _astray(group: Sequence[GraphStep], framed: set[str]) -> list[GraphStep]:
    """The notes that lie in another frame than the layer that they follow."""

    def frame(step: GraphStep) -> str | None:
        return next((call for call, _ in reversed(step.place) if call in framed), None)

    return [step for step in group[1:] if frame(step) != frame(group[0])]


class _Framing:
    def __init__(self, boxes: Boxes, type_of: Callable[[str], type[nn.Module]]) -> None:
        self._boxes = boxes
        self._type_of = type_of

    def nodes(self, numbers: Sequence[int], depth: int) -> list[int | _Frame]:
        """What is directly in a frame, its boxes by number, when `depth` calls lead to it."""
        runs = [(call, list(run)) for call, run in groupby(numbers, lambda i: self._call(i, depth))]
        joins = any(
            self._boxes.boxes[i].kind == "join" for call, run in runs if call is None for i in run
        )
        found: list[int | _Frame] = []
        for call, run in runs:
            found += run if call is None else self._inner(call, run, depth, joins)
        return found

    def block(self, frame: _Frame) -> BlockFrame:
        home = {i: n for n, node in enumerate(frame.nodes) for i in _numbers(node)}
        return BlockFrame(
            name=frame.path,
            type=self._type_of(frame.path).__name__,
            is_list=self._is_list(frame.path),
            parts=tuple(
                self._boxes.boxes[node] if isinstance(node, int) else self.block(node)
                for node in frame.nodes
            ),
            links=links_between(self._boxes.links, home),
        )

    def calls(self, frame: _Frame) -> set[str]:
        """The names of the calls of all frames in this one."""
        inner = [node for node in frame.nodes if isinstance(node, _Frame)]
        return {node.call for node in inner}.union(*map(self.calls, inner))

    def _call(self, number: int, depth: int) -> tuple[str, str] | None:
        members = self._boxes.members[number]
        place = members[0].place if members else ()
        return place[depth] if len(place) > depth else None

    def _inner(
        self, call: tuple[str, str], numbers: list[int], depth: int, joins: bool
    ) -> list[int | _Frame]:
        """One call of a module: its frame, or what is in it where it has none."""
        nodes, (name, path) = self.nodes(numbers, depth + 1), call
        if len(nodes) == 1:
            only = nodes[0]
            if isinstance(only, _Frame) and self._is_list(only.path) and not self._is_list(path):
                only = replace(only, call=name, path=path)
            return [only]
        return nodes if joins and self._is_list(path) else [_Frame(name, path, nodes)]

    def _is_list(self, path: str) -> bool:
        return self._type_of(path) in (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Module)


def _numbers(node: int | _Frame) -> list[int]:
    return [node] if isinstance(node, int) else [i for part in node.nodes for i in _numbers(part)]


FEWEST_LAYERS = 5
"""Single layers are drawn one by one up to four of a kind, as in the textbooks' figures of VGG."""


def folded(block: BlockFrame) -> BlockFrame:
    """The block with every run of identical parts as one part that says how many it stands for.

    Parts are identical if they have the same structure, shapes, settings, sizes and state. A run
    is a chain: each part feeds the next and nothing else.
    """
    parts = tuple(folded(part) if isinstance(part, BlockFrame) else part for part in block.parts)
    runs = _runs(replace(block, parts=parts))
    home = {i: n for n, run in enumerate(runs) for i in run}
    return replace(
        block,
        parts=tuple(_as_one([parts[i] for i in run]) for run in runs),
        links=links_between(block.links, home),
    )


def _runs(block: BlockFrame) -> list[list[int]]:
    """All part numbers in order, those that are drawn as one together."""
    runs: list[list[int]] = []
    for i, part in enumerate(block.parts):
        if runs and _follows(block, i) and _kind(part) == _kind(block.parts[i - 1]):
            runs[-1].append(i)
        else:
            runs.append([i])
    found: list[list[int]] = []
    for run in runs:
        fewest = 2 if isinstance(block.parts[run[0]], BlockFrame) else FEWEST_LAYERS
        found += [run] if len(run) >= fewest else [[i] for i in run]
    return found


def _follows(block: BlockFrame, number: int) -> bool:
    """True if a part is fed by the part before it alone, and is all that this one feeds."""
    into = [source for source, target in block.links if target == number]
    out_of = [target for source, target in block.links if source == number - 1]
    return into == [number - 1] and out_of == [number]


def _kind(part: Part) -> object:
    """What is equal for identical parts: all of it but names."""
    if isinstance(part, BlockFrame):
        return part.type, tuple(map(_kind, part.parts)), part.links, part.times
    return replace(part, name="", about="")


def _as_one(run: list[Part]) -> Part:
    first, last = run[0], run[-1]
    if first is last:
        return first
    if isinstance(first, BlockFrame):
        return replace(first, times=len(run), last=last.name)
    links = ((ENTRY, 0), (0, EXIT))
    return BlockFrame(first.name, first.title, True, (first,), links, len(run), last.name)
