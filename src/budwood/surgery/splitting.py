"""Building the two graphs of a cut out of the traced network."""

import operator
from typing import Any

import torch
from torch import fx

from budwood.surgery.flow import Flow
from budwood.surgery.memory import Protection
from budwood.surgery.probing import PerPhoto, Shapes, holds_tensor
from budwood.surgery.stochastic import drops_attention
from budwood.surgery.twins import hold_in_eval, twin


def build_trunk(shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The part that makes the frontier: input to a tuple of tensors, always in eval mode."""
    copier = _Copier(shapes, flow, frontier)
    copier.place_inputs()
    copier.graph.output(tuple(copier.copied(node) for node in frontier))
    copier.graph.lint()
    return shapes.traced.with_twin_layers(copier.graph, "Trunk").eval()


def build_graft(shapes: Shapes, flow: Flow, frontier: tuple[fx.Node, ...]) -> fx.GraphModule:
    """The part that turns the frontier, as one tuple, into the network's output.

    Frozen steps of the trunk that it repeats are as quiet as in the trunk.
    """
    copier = _Copier(shapes, flow, frontier)
    copier.place_frontier()
    copier.graph.output(copier.copied_arguments(flow.output.args[0]))
    copier.graph.lint()
    graft = shapes.traced.with_own_layers(copier.graph, "Graft")
    for node in copier.quiet:
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
        self._protection = Protection(shapes.record, frontier, flow.dropping)
        self._copies: dict[fx.Node, Any] = {}
        self._first_row: fx.Node | None = None

    def place_inputs(self) -> None:
        """The photo becomes the graph's input; further inputs keep their default values."""
        photo, *others = self._shapes.traced.graph.find_nodes(op="placeholder")
        self._copies[photo] = self.graph.placeholder(str(photo.target))
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
        for needed in self._in_order(node):
            if needed not in self._copies:
                self._copies[needed] = self._copy(needed)
        return self._copies[node]

    def copied_arguments(self, arguments: Any) -> Any:
        """Arguments with each node replaced by its copy."""
        return fx.node.map_arg(arguments, self.copied)

    def _in_order(self, node: fx.Node) -> list[fx.Node]:
        """The nodes to copy for this one, itself last, in the order in which they ran."""
        needed: set[fx.Node] = set()
        waiting = [node]
        while waiting:
            this = waiting.pop()
            if this not in needed and this not in self._copies:
                needed.add(this)
                if not self._is_plain_value(this):
                    waiting.extend(this.all_input_nodes)
        return [n for n in node.graph.nodes if n in needed]

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
        if isinstance(value, PerPhoto):
            batch = self.graph.call_method("size", (self._first_row, 0))
            return self.graph.call_function(operator.mul, (batch, value.factor))
        return value
