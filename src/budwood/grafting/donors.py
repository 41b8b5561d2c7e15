"""Layers taken from a network in one piece, with the functional steps that join them.

A list of a network's children loses what its `forward` does between them: flattening, activation
functions, GoogLeNet's rescaling of the input (github.com/pytorch/pytorch/issues/15129). So a piece
is cut out of the traced graph. It brings the functional steps that lead to its first layer, and,
if it ends with the network's last layer, those that follow it.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from budwood.display import displayed
from budwood.errors import CutError, UnknownName
from budwood.inspection.dryrun import hollow_twin
from budwood.inspection.summary import Shape
from budwood.models.info import input_shape
from budwood.surgery.freezing import twin
from budwood.surgery.recording import follow_overwritten_values, record
from budwood.surgery.tracing import (
    Traced,
    UntraceableError,
    ancestors,
    is_dropout_call,
    random_layer,
    reached,
    trace,
)
from budwood.text import did_you_mean


@displayed
@dataclass(frozen=True)
class Piece:
    """A run of a network's layers, from one tensor to one tensor."""

    network: nn.Module
    """Where it is from."""
    root: nn.Module
    """A twin of the network that shares its tensors: what the steps' paths lead to."""
    first: str
    """The path of the layer or block that it begins with."""
    last: str
    nodes: tuple[fx.Node, ...]
    """Its steps, in order; `entry` is not one of them."""
    entry: fx.Node
    """What is fed to it in the network."""
    exit: fx.Node
    takes: Shape
    """Shape of one photo's `entry`, at the size that the network was made for."""
    gives: Shape
    """Shape of one photo's `exit`, likewise."""

    @property
    def begins_with_the_image(self) -> bool:
        """True if its first layer is fed with what the network itself is fed with."""
        return self.entry.op == "placeholder"

    @property
    def paths(self) -> tuple[str, ...]:
        """The modules, parameters and buffers that its steps use."""
        used = (str(n.target) for n in self.nodes if n.op in ("call_module", "get_attr"))
        return tuple(dict.fromkeys(used))

    def copy_into(
        self, graph: fx.Graph, value: fx.Node, names: Mapping[str, str] | None = None
    ) -> fx.Node:
        """Write its steps into another graph, fed by `value`; gives back the last of them."""
        copies: dict[fx.Node, fx.Node] = {self.entry: value}
        for node in self.nodes:
            copy = graph.node_copy(node, copies.__getitem__)
            if node.op in ("call_module", "get_attr"):
                copy.target = node.target if names is None else names[str(node.target)]
            copies[node] = copy
        return copies[self.exit]

    def module(self) -> fx.GraphModule:
        graph = fx.Graph()
        graph.output(self.copy_into(graph, graph.placeholder("x")))
        return fx.GraphModule(self.root, graph, class_name="Piece")


def take(network: nn.Module, first: str = "", last: str = "") -> Piece:
    """The piece from layer `first` to layer `last`, both included.

    Args:
        network: Any network whose outer code can be traced; it is not changed. A module that the
            piece holds as a whole stays as it is, whatever its code.
        first: Path of a layer or block; "" begins with the photo.
        last: Path of a layer or block; "" goes on to the output.

    Raises:
        UnknownName: If there is no such layer; the nearest is named.
        CutError: If the ends are in the wrong order, more than one tensor enters the piece, or the
            network's code cannot be followed as far as its ends.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> piece = take(net, "1", "2")
        >>> piece.paths, piece.takes, piece.gives
        (('1', '2'), (8, 222, 222), (4, 220, 220))
    """
    for path in filter(None, (first, last)):
        _require(network, path)
    traced = _traced(network, first, last)
    values = _values(traced, input_shape(network))
    nodes = list(traced.graph.nodes)
    start = _called(nodes, first)[0] if first else None
    end = _called(nodes, last)[-1] if last else _answer(nodes, values)
    if start is not None and last:
        _require_order(nodes, start, end, first, last)
    entry = nodes[0] if start is None else _entry(nodes, start)
    if last and _is_last_layer(nodes, end):
        end = _answer(nodes, values)
    inside = _between(nodes, entry, end)
    if inside is None and start is not None:
        entry = _own_input(nodes, start)
        inside = _between(nodes, entry, end)
    if inside is None or (start is not None and start not in inside):
        raise CutError(
            f"{_named(first, last)} needs more than one tensor: a shortcut goes around its start.",
            expected="A piece begins and ends where a single tensor passes.",
            next="Take the whole block.",
        )
    _with_dropout_layers(traced.root, inside)
    layers = [str(node.target) for node in inside if node.op == "call_module"] or [""]
    return Piece(
        network=network,
        root=traced.root,
        first=first or layers[0],
        last=last or layers[-1],
        nodes=inside,
        entry=entry,
        exit=end,
        takes=_row(values, entry),
        gives=_row(values, end),
    )


def _traced(network: nn.Module, first: str, last: str) -> Traced:
    """The graph, opened as far as the two ends, in train mode: dropout then shows its rate."""
    ends = [path for path in (first, last) if path]
    training = twin(network)
    for module in training.modules():
        module.training = True
    try:
        traced = trace(training, lambda path: any(end.startswith(f"{path}.") for end in ends))
    except UntraceableError as failure:
        raise CutError(
            f"The code of {type(network).__name__} cannot be traced ({failure}).",
            next="Take layers of another network.",
        ) from None
    for path, reason in traced.opaque.items():
        if hidden := [end for end in ends if end.startswith(f"{path}.")]:
            raise CutError(
                f"{hidden[0]} cannot be taken out of {path}, whose code cannot be traced "
                f"({reason}).",
                next=f"Take {path} as a whole.",
            )
    return traced


def _values(traced: Traced, image: Shape) -> dict[fx.Node, Any]:
    """What every step gives, found on shapes alone where the code does not look at values."""
    try:
        with torch.device("meta"):
            return _run(hollow_twin(traced.root), traced, image)
    except CutError:
        if any(parameter.is_meta for parameter in traced.root.parameters()):
            raise
        return _run(copy.deepcopy(traced.root).eval(), traced, image)


def _run(root: nn.Module, traced: Traced, image: Shape) -> dict[fx.Node, Any]:
    try:
        found = record(replace(traced, root=root), torch.zeros(2, *image))
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as problem:
        raise CutError(
            f"{type(traced.network).__name__} cannot be run on an input of "
            f"{'x'.join(map(str, image))}: {str(problem).partition(chr(10))[0]}.",
            next="Check its preprocessing, or take layers of another network.",
        ) from None
    with suppress(UntraceableError):  # then the order of the steps alone says what each sees
        follow_overwritten_values(found)
    return found.values


def _with_dropout_layers(root: nn.Module, nodes: tuple[fx.Node, ...]) -> None:
    """Dropout called as a function becomes a layer: tracing wrote the mode into the call."""
    for number, node in enumerate([n for n in nodes if is_dropout_call(n)]):
        name = f"dropout_call_{number}"
        root.add_module(name, random_layer(node))
        node.op, node.target = "call_module", name
        node.args, node.kwargs = (node.all_input_nodes[0],), {}


def _require(network: nn.Module, path: str) -> None:
    paths = [name for name, _ in network.named_modules() if name]
    if path in paths:
        return
    near = did_you_mean(path, paths)
    tops = ", ".join(name for name, _ in network.named_children())
    raise UnknownName(
        f"{type(network).__name__} has no layer {path!r}.",
        expected=f"Did you mean {near!r}?" if near else f"Its top-level layers are {tops}.",
        next="`budwood inspect` shows every name.",
    )


def _called(nodes: list[fx.Node], path: str) -> list[fx.Node]:
    """The calls of a layer, or all steps of a block, in order."""
    calls = [node for node in nodes if path in _owners(node)]
    if not calls:
        raise CutError(
            f"{path!r} does not run when a photo passes.", next="Take a layer that does."
        )
    if len(calls) > 1 and all(node.target == path for node in calls):
        raise CutError(
            f"{path!r} runs {len(calls)} times, so it is not one place in the network.",
            next="Take the block that it is in.",
        )
    return calls


def _owners(node: fx.Node) -> set[str]:
    return {str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()}


def _answer(nodes: list[fx.Node], values: dict[fx.Node, Any]) -> fx.Node:
    answer = nodes[-1].args[0]
    if isinstance(answer, fx.Node) and isinstance(values[answer], torch.Tensor):
        return answer
    raise CutError(
        "The network gives back more than one tensor.",
        next="Build it without auxiliary heads, or end the piece at a layer.",
    )


def _require_order(
    nodes: list[fx.Node], start: fx.Node, end: fx.Node, first: str, last: str
) -> None:
    if start is end or start in ancestors(end):
        return
    if nodes.index(end) < nodes.index(start):
        raise CutError(
            f"The range {first}..{last} is in the wrong order: {last} comes before {first}.",
            next=f"Write {last}..{first}.",
        )
    raise CutError(
        f"{last} does not follow from {first}: they lie on branches side by side.",
        next="Take the block that holds both.",
    )


def _entry(nodes: list[fx.Node], start: fx.Node) -> fx.Node:
    """What a piece is fed with: the value of the layer before it, if only one leads to it."""
    steps = ("call_function", "call_method")
    leading = reached(
        start.all_input_nodes, lambda node: node.all_input_nodes if node.op in steps else []
    )
    layers = [node for node in leading if node.op not in (*steps, "get_attr")]
    return layers[0] if len(layers) == 1 else _own_input(nodes, start)


def _own_input(nodes: list[fx.Node], start: fx.Node) -> fx.Node:
    fed = [node for node in start.all_input_nodes if node.op != "get_attr"]
    return fed[0] if len(fed) == 1 else nodes[0]


def _is_last_layer(nodes: list[fx.Node], end: fx.Node) -> bool:
    later = nodes[nodes.index(end) + 1 :]
    return not any(node.op == "call_module" for node in later)


def _between(nodes: list[fx.Node], entry: fx.Node, end: fx.Node) -> tuple[fx.Node, ...] | None:
    """The steps from one value to another; None if anything else flows into them."""
    needed = reached([end], lambda node: [] if node is entry else node.all_input_nodes) - {entry}
    if any(node.op == "placeholder" for node in needed):
        return None
    return tuple(node for node in nodes if node in needed)


def _row(values: dict[fx.Node, Any], node: fx.Node) -> Shape:
    value = values[node]
    if not isinstance(value, torch.Tensor):
        raise CutError(
            f"{node.name} is no tensor, so no piece can begin or end there.",
            next="Take the whole block.",
        )
    return tuple(value.shape[1:])


def _named(first: str, last: str) -> str:
    return first if first == last else f"{first}..{last}"
