"""What of a traced network is drawn: its steps, what feeds each of them, and where they are."""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from budwood.surgery.recording import Shapes
from budwood.surgery.torch_internals import tree_leaves
from budwood.surgery.tracing import reached

Place = tuple[tuple[str, str], ...]
"""The calls of blocks that a step is in, outermost first: a name for the call, and the path."""

_UNSEEN_METHODS = {"contiguous", "clone", "detach", "to", "float", "half", "bfloat16", "type_as"}
"""Methods that leave every number as it is, or only its type."""


@dataclass(frozen=True, eq=False)
class GraphStep:
    """One layer, function or opaque block that a photo passes through."""

    node: fx.Node
    module: nn.Module | None
    """What the node calls; None for a function."""
    sources: tuple["GraphStep", ...]
    """The steps whose values it is given, each once; none for the photo itself."""
    place: Place
    parameters: Mapping[str, nn.Parameter]
    """All that it computes with, by path."""
    shape: str
    """The shape of what it gives for one photo, as 64 x 56 x 56."""

    @property
    def path(self) -> str:
        """The path of its module; nothing for a function."""
        return "" if self.module is None else str(self.node.target)

    @property
    def function(self) -> str:
        """The name of the function or method it calls; nothing for a module."""
        if self.node.op == "call_method":
            return str(self.node.target)
        if self.node.op == "call_function":
            return str(getattr(self.node.target, "__name__", self.node.target))
        return ""


@dataclass(frozen=True)
class GraphSteps:
    """All steps of a network that lead to what it gives back."""

    steps: tuple[GraphStep, ...]
    """In the order in which they run; the first is the photo."""
    outputs: tuple[tuple[str, GraphStep], ...]
    """What is given back, by name if it has one."""


def steps_of(shapes: Shapes) -> GraphSteps:
    """The steps between a photo and what the network makes of it.

    What is computed from sizes or from parameters alone is no step: it belongs to the step that
    uses it. Steps that change nothing, such as `nn.Identity`, are left out.
    """
    finder = _Finder(shapes)
    outputs = tuple(finder.outputs())
    needed = reached((step for _, step in outputs), lambda step: step.sources)
    return GraphSteps(tuple(step for step in finder.steps if step in needed), outputs)


class _Finder:
    """Goes through a graph once, from the photo on."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._traced = shapes.traced
        self._made_of: dict[fx.Node, tuple[GraphStep, ...]] = {}
        """The steps that a node's value is made of: itself, or those of what it passes on."""
        self._held: dict[fx.Node, dict[str, nn.Parameter]] = {}
        """The parameters from which a node that is no step computes its value."""
        self.steps: list[GraphStep] = []
        nodes = list(self._traced.graph.nodes)
        places = _places(nodes)
        for node in nodes[:-1]:
            self._visit(node, places[node])

    def outputs(self) -> Iterator[tuple[str, GraphStep]]:
        """The steps that the network's answer is made of, with the names it gives them."""
        answer = list(self._traced.graph.nodes)[-1].args[0]
        for name, part in _named_parts(answer):
            for step in self._made_of.get(part, ()):
                yield name, step

    def _visit(self, node: fx.Node, place: Place) -> None:
        sources = tuple(
            dict.fromkeys(s for n in node.all_input_nodes for s in self._made_of.get(n, ()))
        )
        held = self._own_parameters(node)
        for source in node.all_input_nodes:
            held |= self._held.get(source, {})
        if node not in self._shapes.carriers:
            self._held[node] = held
        elif self._is_unseen(node):
            self._made_of[node] = sources
        else:
            module = self._traced.module(node) if node.op == "call_module" else None
            step = GraphStep(node, module, sources, place, held, self._shape(node))
            self._made_of[node] = (step,)
            self.steps.append(step)

    def _own_parameters(self, node: fx.Node) -> dict[str, nn.Parameter]:
        if node.op == "get_attr":
            value = self._traced.attribute(node)
            return {str(node.target): value} if isinstance(value, nn.Parameter) else {}
        if node.op == "call_module":
            own = self._traced.module(node).named_parameters(str(node.target))
            return dict(own)
        return {}

    def _is_unseen(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            module = self._traced.module(node)
            is_off = isinstance(module, _DropoutNd) and module.p == 0
            return is_off or isinstance(module, nn.Identity)
        if node.op == "call_method":
            return node.target in _UNSEEN_METHODS
        if node.target is torch.cat:
            return len(node.all_input_nodes) == 1 and node.all_input_nodes == node.args[0]
        value = self._shapes.record.values.get(node.all_input_nodes[0]) if node.args else None
        return node.target is operator.getitem and not isinstance(value, Tensor)

    def _shape(self, node: fx.Node) -> str:
        values = tree_leaves(self._shapes.record.values[node])
        first = next(value for value in values if isinstance(value, Tensor))
        return shape_of_one(tuple(first.shape), self._shapes.batches[0])


def shape_of_one(shape: tuple[int, ...], batch: int) -> str:
    """A shape without its batch; `n` stands for the photos where they are not the first axis."""
    if shape[:1] == (batch,):
        return " x ".join(map(str, shape[1:])) or "1"
    first, *others = shape or (1,)
    folded = f"{first // batch}n" if first and first % batch == 0 else str(first)
    return " x ".join((folded, *("n" if size == batch else str(size) for size in others)))


def _named_parts(answer: Any) -> Iterator[tuple[str, fx.Node]]:
    """The nodes in an answer, with the names that a dict or a named tuple has for them."""
    if isinstance(answer, fx.Node):
        kind = answer.target
        if not (isinstance(kind, type) and issubclass(kind, tuple)):
            yield "", answer
            return
        # A named tuple that the network's code makes is a call of its type.
        given = dict(zip(getattr(kind, "_fields", ()), answer.args, strict=False))
        yield from _named_parts({**given, **answer.kwargs} or answer.args)
    elif isinstance(answer, dict):
        for name, part in answer.items():
            yield from ((str(name), node) for _, node in _named_parts(part))
    elif isinstance(answer, tuple | list):
        names = getattr(answer, "_fields", [""] * len(answer))
        for name, part in zip(names, answer, strict=True):
            yield from ((name, node) for _, node in _named_parts(part))


def _places(nodes: list[fx.Node]) -> dict[fx.Node, Place]:
    """Where each node is. Graphs that were put together from layers do not say it of functions:
    they are in the block that the layers before and after them share."""
    own = {node: _own_place(node) for node in nodes}
    layers = [i for i, node in enumerate(nodes) if node.op == "call_module"]
    for before, after in pairwise(layers):
        shared = _shared(own[nodes[before]], own[nodes[after]])
        for node in nodes[before + 1 : after]:
            own[node] = max(own[node], shared, key=len)
    return own


def _own_place(node: fx.Node) -> Place:
    place: list[tuple[str, str]] = []
    for call, (path, _) in node.meta.get("nn_module_stack", {}).items():
        place += [(outer, outer) for outer in _between(place[-1][1] if place else "", path)]
        place.append((call, path))
    if node.op != "call_module":
        return tuple(place)
    path = str(node.target)
    if place and place[-1][1] == path:
        return tuple(place[:-1])
    return (*place, *((outer, outer) for outer in _between(place[-1][1] if place else "", path)))


def _between(outer: str, inner: str) -> list[str]:
    """The paths between two, such as a list of layers, which has no code of its own to be in.

    Example:
        >>> _between("", "a.b.c"), _between("a", "a.b.c")
        (['a', 'a.b'], ['a.b'])
    """
    if outer and not inner.startswith(f"{outer}."):
        return []
    parts = inner.split(".")
    return [".".join(parts[:end]) for end in range(outer.count(".") + 1 + bool(outer), len(parts))]


def _shared(one: Place, other: Place) -> Place:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return tuple(call for call, _ in same)
