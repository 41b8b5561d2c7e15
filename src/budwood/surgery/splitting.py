"""Building the two graphs of a cut out of the traced network."""

import copy
import operator
from typing import Any

from torch import Tensor, fx, nn

from budwood.surgery.flow import Flow
from budwood.surgery.probing import PerPhoto, Shapes
from budwood.surgery.stochastic import drops_attention
from budwood.surgery.tracing import protect_inputs


def build_trunk(
    network: fx.GraphModule, flow: Flow, frontier: tuple[fx.Node, ...]
) -> fx.GraphModule:
    """The part that makes the frontier: input to a tuple of tensors, always in eval mode."""
    copier = _Copier(flow)
    for node in network.graph.nodes:
        if node.op == "placeholder":
            copier.place_input(node)
    copier.graph.output(tuple(copier.copied(node) for node in frontier))
    trunk = _module(network, copier.graph, "Trunk")
    tensors = [*trunk.parameters(), *trunk.buffers()]
    return copy.deepcopy(trunk, {id(t): t for t in tensors}).eval()


def build_graft(
    network: fx.GraphModule, flow: Flow, frontier: tuple[fx.Node, ...], shapes: Shapes
) -> fx.GraphModule:
    """The part that turns the frontier, as one tuple, into the network's output."""
    copier = _Copier(flow, shapes)
    copier.place_frontier(frontier)
    copier.graph.output(copier.copied_arguments(flow.output.args[0]))
    return _module(network, copier.graph, "Graft")


class _Copier:
    """Copies nodes, and what they need, into a new graph; leaves silenced dropout out."""

    def __init__(self, flow: Flow, shapes: Shapes | None = None) -> None:
        self.graph = fx.Graph()
        self._flow = flow
        self._shapes = shapes
        self._copies: dict[fx.Node, Any] = {}
        self._first_row: fx.Node | None = None

    def place_input(self, node: fx.Node) -> None:
        """The photo becomes the graph's input; further inputs keep their default values."""
        self._copies[node] = node.args[0] if node.args else self.graph.node_copy(node)

    def place_frontier(self, frontier: tuple[fx.Node, ...]) -> None:
        """One input, a tuple; its parts stand for the frontier's nodes."""
        rows = self.graph.placeholder("frontier")
        for i, node in enumerate(frontier):
            self._copies[node] = self.graph.call_function(operator.getitem, (rows, i))
        self._first_row = self._copies[frontier[0]]

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
            assert self._shapes is not None
            return self._from_batch(self._shapes.growth(node))
        if node in self._flow.dropping and not drops_attention(node):
            return self._copies[node.all_input_nodes[0]]
        copied = self.graph.node_copy(node, lambda n: self._copies[n])
        if node in self._flow.dropping:
            copied.kwargs = {**copied.kwargs, "dropout_p": 0.0}
        return copied

    def _is_plain_value(self, node: fx.Node) -> bool:
        """True for sizes, None and the like before the frontier: written down, not recomputed."""
        return (
            self._shapes is not None
            and node in self._flow.static
            and not _holds_tensor(self._shapes.values[node])
        )

    def _from_batch(self, value: Any) -> Any:
        """The value, with multiples of the batch size computed from the frontier's first axis."""
        if isinstance(value, tuple | list):
            return type(value)(self._from_batch(part) for part in value)
        if isinstance(value, PerPhoto):
            batch = self.graph.call_method("size", (self._first_row, 0))
            return self.graph.call_function(operator.mul, (batch, value.factor))
        return value


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return any(_holds_tensor(part) for part in value)
    return isinstance(value, Tensor)


def _module(network: nn.Module, graph: fx.Graph, name: str) -> fx.GraphModule:
    protect_inputs(graph, dict(network.named_modules()))
    graph.lint()
    return fx.GraphModule(network, graph, class_name=name)
