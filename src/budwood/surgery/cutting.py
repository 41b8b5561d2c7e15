"""The cut: a network splits into what is frozen and runs once, and what trains.

    trunk      everything that is frozen, deterministic, and fed only by such
    graft      the rest
    frontier   the tensors that cross from one to the other, one row a photo

The law: `graft(trunk(x)) == network(x)`, bit for bit in fp32 on one device, forward and
gradients, for every choice of frozen layers. In train mode `network` is then the network whose
`silenced` layers are in eval mode: dropout inside the trunk is off, dropout after the last frozen
layer belongs to the graft and stays on.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from budwood.display import displayed
from budwood.errors import CutError
from budwood.models.info import input_shape
from budwood.models.prepared import Prepared
from budwood.surgery.flow import Flow, sees_the_batch
from budwood.surgery.freezing import hold_in_eval, trainable_parameters, twin
from budwood.surgery.recording import PerImage, Shapes, SharedMemory, holds_tensor, probe_shapes
from budwood.surgery.torch_internals import tree_map_only
from budwood.surgery.tracing import (
    UntraceableError,
    drops_attention,
    reached,
    trace,
    watching_randomness,
)


@displayed
@dataclass(frozen=True)
class FrontierTensor:
    """One tensor that crosses from trunk to graft."""

    name: str
    """The layer or operation that makes it."""
    shape: tuple[int, ...]
    """Its shape for one photo."""
    dtype: torch.dtype
    feature_axis: int | None = None
    """The axis of a batch that holds features; None where that is not known."""

    @property
    def bytes(self) -> int:
        """Bytes of one photo's row."""
        return int(torch.Size(self.shape).numel()) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.shape))}"


@displayed
@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its weights: `graft(trunk(x)) == network(x)`."""

    trunk: nn.Module
    """`n ...` input to a tuple of frontier tensors, each `n ...`. Its layers are in eval mode and
    stay so whatever the network's mode is; their tensors are the network's own."""
    graft: nn.Module
    """That tuple to the network's output. Its layers are the network's own. It never writes to
    the tensors it is given."""
    frontier: tuple[FrontierTensor, ...]
    silenced: tuple[str, ...]
    """Modules that the trunk runs in eval mode though the network trains: random layers, and code
    that could not be traced."""
    opaque: dict[str, str]
    """Modules that could not be traced, each with the reason; they are on one side as a whole."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one photo's frontier, all tensors together."""
        return sum(tensor.bytes for tensor in self.frontier)

    def __str__(self) -> str:
        return f"frontier: {', '.join(map(str, self.frontier))} ({self.row_bytes:,} bytes a photo)"


def cut(network: nn.Module, example: Tensor | None = None) -> Cut:
    """The network as trunk and graft, in the mode (train or eval) that it is in.

    Which side a layer falls on follows from `requires_grad`, from `freeze` for normalisation, and
    from the graph. GoogLeNet gives its auxiliary outputs in train mode only, so each mode has a
    cut of its own.

    Args:
        network: Any module; it is not changed.
        example: One input `1 ...`, of which only shape and type matter. Default: what
            its preprocessing says, else `1 3 224 224` floats.

    Raises:
        CutError: If nothing trains, or the network can neither be traced nor split in front of
            the one module that trains.

    Example:
        >>> from budwood.surgery.freezing import freeze, unfreeze
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
        >>> print(cut(unfreeze(freeze(net, "*"), "3"), torch.zeros(1, 3, 8, 8)))
        frontier: 2 288 (1,152 bytes a photo)
    """
    if not any(p.requires_grad for p in network.parameters()):
        raise CutError(
            "Everything is frozen: there is nothing to train.",
            next="Unfreeze at least the head, for example --unfreeze with its name.",
        )
    example = _example_for(network) if example is None else example
    try:
        return _cut_graph(network, example)
    except UntraceableError as failure:
        return _cut_at_last_module(network, example, str(failure))


def _cut_graph(network: nn.Module, example: Tensor) -> Cut:
    shapes = probe_shapes(trace(network), example)
    flow = Flow(shapes)
    frontier = flow.frontier()
    tensors = [
        FrontierTensor(
            str(node.target) if node.op == "call_module" else node.name,
            *shapes.rows[node],
            shapes.record.axes.get(node),
        )
        for node in frontier
    ]
    return Cut(
        build_trunk(shapes, flow, frontier),
        _build_graft(shapes, flow, frontier),
        tuple(tensors),
        flow.silenced,
        shapes.traced.opaque,
    )


def _example_for(network: nn.Module) -> Tensor:
    """A batch of one in the shape that the network's preprocessing makes."""
    device = next(network.parameters()).device
    if isinstance(network, Prepared):
        size = (*network.preprocessing.size, len(network.preprocessing.mean))
        return torch.zeros(1, *size, dtype=torch.uint8, device=device)
    return torch.zeros(1, *input_shape(network), device=device)


def build_trunk(shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The part that makes the frontier: input to a tuple of tensors, always in eval mode."""
    copier = _Copier(shapes, flow, frontier)
    copier.place_inputs()
    copier.graph.output(tuple(copier.copied(node) for node in frontier))
    copier.graph.lint()
    return twin(fx.GraphModule(shapes.traced.root, copier.graph, class_name="Trunk")).eval()


def _build_graft(shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The part that turns the frontier, as one tuple, into the network's output."""
    traced = shapes.traced
    copier = _Copier(shapes, flow, frontier)
    copier.place_frontier()
    copier.graph.output(fx.node.map_arg(flow.output.args[0], copier.copied))
    copier.graph.lint()
    graft = fx.GraphModule(traced.root, copier.graph, class_name="Graft")
    for path in sorted({str(n.target) for n in copier.graph.nodes if n.op == "call_module"}):
        graft.set_submodule(path, traced.network.get_submodule(path))
    for node in copier.quiet:  # frozen steps that it repeats, quiet as in the trunk
        quiet = twin(graft.get_submodule(str(node.target)))
        hold_in_eval(quiet)
        node.target = f"quiet_{node.name}"
        graft.add_submodule(node.target, quiet)
    graft.delete_all_unused_submodules()
    graft.recompile()
    return graft


class _Copier:
    """Copies nodes, and what they need, into a new graph; leaves silenced functions out."""

    def __init__(self, shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> None:
        self.graph = fx.Graph()
        self.quiet: list[fx.Node] = []
        """Copies of module calls that must be in eval mode."""
        self._shapes = shapes
        self._flow = flow
        self._frontier = frontier
        self._protection = _Protection(shapes, flow, frontier)
        self._copies: dict[fx.Node, Any] = {}
        self._first_row: fx.Node | None = None

    def place_inputs(self) -> None:
        """The photo becomes the graph's input; further inputs keep their default values."""
        image, *others = self._shapes.traced.graph.find_nodes(op="placeholder")
        self._copies[image] = self.graph.placeholder(str(image.target))
        for other in others:
            self._copies[other] = other.args[0] if other.args else self.graph.node_copy(other)

    def place_frontier(self) -> None:
        """One input, a tuple; its parts stand for the frontier's nodes."""
        rows = self.graph.placeholder("frontier")
        for i, node in enumerate(self._frontier):
            self._copies[node] = self.graph.call_function(operator.getitem, (rows, i))
        self._first_row = self._copies[self._frontier[0]]

    def copied(self, node: fx.Node) -> Any:
        """The new graph's value for a node of the old one."""
        needed = reached([node], self._inputs_to_copy)
        for each in node.graph.nodes:
            if each in needed and each not in self._copies:
                self._copies[each] = self._copy(each)
        return self._copies[node]

    def _inputs_to_copy(self, node: fx.Node) -> list[fx.Node]:
        is_given = node in self._copies or self._is_plain_value(node)
        return [] if is_given else node.all_input_nodes

    def _copy(self, node: fx.Node) -> Any:
        if self._is_plain_value(node):
            return self._from_batch(self._shapes.growth(node))
        is_module = node.op == "call_module"
        is_silenced = node in self._flow.dropping
        if is_silenced and not is_module and not drops_attention(node):
            return self._copies[node.all_input_nodes[0]]
        clones = {
            source: self.graph.call_function(torch.clone, (self._copies[source],))
            for source in self._protection.to_clone(node)
        }
        copied = self.graph.node_copy(node, lambda n: (self._copies | clones)[n])
        if is_silenced and not is_module:
            copied.kwargs = {**copied.kwargs, "dropout_p": 0.0}
        if is_module and (is_silenced or node in self._flow.opaque):
            self.quiet.append(copied)
        return copied

    def _is_plain_value(self, node: fx.Node) -> bool:
        """True for sizes, None and the like before the frontier: written down, not recomputed."""
        return (
            self._first_row is not None
            and node in self._flow.static
            and not holds_tensor(self._shapes.record.values[node])
        )

    def _from_batch(self, value: Any) -> Any:
        """The value, with multiples of the batch size computed from the frontier's first axis."""
        if isinstance(value, tuple | list):
            return type(value)(self._from_batch(part) for part in value)
        if isinstance(value, PerImage):
            batch = self.graph.call_method("size", (self._first_row, 0))
            return self.graph.call_function(operator.mul, (batch, value.factor))
        return value


class _Protection:
    """Which inputs a step must copy before it overwrites them.

    What comes from outside a graph, leaves it, or is read twice is never written to.
    """

    def __init__(self, shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> None:
        self._overwrites = shapes.record.overwrites
        self._sharing = SharedMemory(shapes.record)
        self._handing_on = flow.dropping
        """Steps that give what they are given, as they are switched off."""
        self._frontier = frontier

    def to_clone(self, node: fx.Node) -> list[fx.Node]:
        """The inputs of a node that it may only overwrite in a copy."""
        return [
            source
            for source in self._overwrites.get(node, ())
            if any(
                self._is_seen_elsewhere(other)
                for other in reached([source], self._possibly_sharing)
                if self._sharing.is_before(other, node)
            )
        ]

    def _is_seen_elsewhere(self, node: fx.Node) -> bool:
        comes_from_outside = node.op in ("placeholder", "get_attr") or node in self._frontier
        return comes_from_outside or len(node.users) > 1

    def _possibly_sharing(self, node: fx.Node) -> Iterator[fx.Node]:
        """What shares memory with a node once the steps that are switched off hand on theirs."""
        yield from self._sharing.nodes_with(node)
        yield from (user for user in node.users if user in self._handing_on)
        if node in self._handing_on:
            yield from node.all_input_nodes


def _cut_at_last_module(network: nn.Module, example: Tensor, reason: str) -> Cut:
    """The cut of a network that cannot be traced: all that trains is the module that runs last."""
    name = _largest_that_trains(network)
    entering = _what_enters(network, name, example) if name else []
    if not entering:
        raise CutError(
            f"The network's code cannot be traced ({reason}), and what trains is not "
            "the one module that runs last.",
            next="Unfreeze only the head, or pass a network whose forward torch.fx can trace.",
        )
    trunk = _UpTo(network, name)
    with torch.no_grad(), watching_randomness() as drawn:
        (row,) = trunk(example)
    front = {
        path: part
        for path, part in network.named_modules()
        if not f"{path}.".startswith(f"{name}.")
    }
    layers = [part for part in front.values() if not any(part.children())]
    if drawn[0] or any(map(sees_the_batch, layers)):
        raise CutError(
            f"The network's code cannot be traced ({reason}), and in front of {name} it draws "
            "random numbers or normalises by the batch, so that no value is fixed for a photo.",
            next="Freeze its normalisation, or pass a network whose forward torch.fx can trace.",
        )
    if not torch.equal(row, entering[0]):
        raise CutError(
            f"The network's code cannot be traced ({reason}), and it uses {name} under "
            "another name as well.",
            next="Register that module under one name only.",
        )
    return Cut(
        trunk,
        _FromTuple(network.get_submodule(name)),
        (FrontierTensor(name, tuple(row.shape[1:]), row.dtype),),
        tuple(sorted(path for path, part in front.items() if path and part.training)),
        {"": reason},
    )


def _largest_that_trains(network: nn.Module) -> str:
    """The path of the largest module with the same parameters as the smallest that holds all that
    trains, so that a dropout in front of a last layer stays with it; "" for the whole network."""
    wanted = {id(p) for p in trainable_parameters(network)}
    held = {path: {id(p) for p in m.parameters()} for path, m in network.named_modules()}
    smallest = min((own for own in held.values() if wanted <= own), key=len)
    path: str = min((path for path, own in held.items() if own == smallest), key=len)
    return path


def _what_enters(network: nn.Module, name: str, example: Tensor) -> list[Tensor]:
    """The one tensor that the module is fed, if the network does nothing with it afterwards."""
    entered: list[tuple[object, ...]] = []
    left: list[object] = []
    other = twin(network).eval()
    last = other.get_submodule(name)
    # Cloned: the module may overwrite what it is given.
    last.register_forward_pre_hook(
        lambda _, inputs: entered.append(tree_map_only(Tensor, torch.clone, inputs))
    )
    last.register_forward_hook(lambda _, inputs, output: left.append(output))
    with torch.no_grad(), watching_randomness():
        output = other(example)
    if len(entered) != 1 or left[0] is not output or len(entered[0]) != 1:
        return []
    return [value for value in entered[0] if isinstance(value, Tensor)]


class _UpTo(nn.Module):
    """A network with its last module taken out; it shares all tensors and is in eval mode."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = twin(network).eval()
        self.network.set_submodule(name, nn.Identity())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)


class _FromTuple(nn.Module):
    """The last module, fed with a frontier of one tensor that it must not write to."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, frontier: tuple[Tensor]) -> Tensor:
        output: Tensor = self.module(frontier[0].clone())
        return output
