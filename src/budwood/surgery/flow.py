"""What flows through a traced network: which values are fixed for a photo, and where they end."""

from collections.abc import Callable

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from budwood.surgery.freezing import keeps_statistics, trainable_parameters
from budwood.surgery.probing import Shapes
from budwood.surgery.stochastic import (
    drops_attention,
    drops_now,
    is_dropping_call,
    is_random_module,
    is_sampling_call,
)

SMALL_ROW = 64 * 1024
"""Bytes a photo below which a frontier is taken as it falls: storing it is never a burden."""
WORTHWHILE = 0.85
"""A smaller frontier further up must save at least 15 % of the bytes."""
CHEAP_REPEAT = 0.10
"""... and the frozen steps that the graft then repeats may cost this share of the network."""


class Flow:
    """The sides of a cut: for each node of the graph, whether its value is fixed for a photo.

    A node is *static* if it is frozen, deterministic, and fed only by static nodes. A dropout
    with static input is switched off (silenced) exactly if a static layer with parameters comes
    after it; otherwise it is part of the graft and stays on.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        self._graph = graph
        self._modules = dict(graph.named_modules())
        nodes = list(graph.graph.nodes)
        if_quiet = self._spread(nodes, lambda node: True)
        leads_to_layer = self._leads_to_layer(nodes, if_quiet)
        self.static = self._spread(nodes, lambda node: leads_to_layer[node])
        self.dropping = {n for n in nodes if n in self.static and self._drops(n)}
        self.silenced = tuple(sorted(self._silenced()))
        self.output = nodes[-1]

    def frontier(self, shapes: Shapes) -> tuple[fx.Node, ...]:
        """The nodes whose values, one row a photo, are handed from trunk to graft."""
        crossing = [
            node
            for node in self._graph.graph.nodes
            if node in self.static
            and node in shapes.of_photo
            and any(user not in self.static for user in node.users)
        ]
        storable = all(node in shapes.rows for node in crossing)
        size = sum(shapes.bytes(node) for node in crossing) if storable else None
        if size is not None and size <= SMALL_ROW:
            return tuple(crossing)
        better = self._single_nodes_before(crossing, shapes)
        if size is not None:
            limit = CHEAP_REPEAT * shapes.total_macs
            better = [
                node
                for node in better
                if shapes.bytes(node) <= WORTHWHILE * size
                and self._repeated_macs(node, crossing, shapes) <= limit
            ]
        return (min(better, key=shapes.bytes),) if better else tuple(crossing)

    def _silenced(self) -> set[str]:
        """The modules whose train flag the trunk ignores: to the network, they are in eval mode."""
        paths = {_owner(node) for node in self.dropping}
        for node in self.static:
            if node.op != "call_module":
                continue
            for name, part in self._modules[str(node.target)].named_modules(
                prefix=str(node.target)
            ):
                drops = is_random_module(part) and drops_now(part)
                holds_more = any(True for _ in part.children()) or hasattr(part, "dropout")
                if drops or (part.training and holds_more):
                    paths.add(name)
        return paths

    def _spread(self, nodes: list[fx.Node], off: Callable[[fx.Node], bool]) -> set[fx.Node]:
        """The static nodes, given which of the dropping ones are switched off."""
        static: set[fx.Node] = set()
        for node in nodes:
            fed_by_static = all(source in static for source in node.all_input_nodes)
            if fed_by_static and self._is_fixed(node) and (not self._drops(node) or off(node)):
                static.add(node)
        return static

    def _is_fixed(self, node: fx.Node) -> bool:
        """True if equal inputs give an equal value in every epoch, dropout set aside."""
        if node.op == "output" or is_sampling_call(node):
            return False
        if node.op == "get_attr":
            return not getattr(self._attribute(node), "requires_grad", False)
        if node.op == "call_module":
            module = self._modules[str(node.target)]
            return not trainable_parameters(module) and not _sees_the_batch(module)
        return not self._normalises_the_batch(node)

    def _drops(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            module = self._modules[str(node.target)]
            return is_random_module(module) and drops_now(module)
        return node.op == "call_function" and (is_dropping_call(node) or drops_attention(node))

    def _leads_to_layer(self, nodes: list[fx.Node], static: set[fx.Node]) -> dict[fx.Node, bool]:
        """Whether a static layer with parameters comes after a node, on a way of static nodes."""
        leads: dict[fx.Node, bool] = {}
        for node in reversed(nodes):
            leads[node] = drops_attention(node) or any(
                user in static and (self._has_parameters(user) or leads[user])
                for user in node.users
            )
        return leads

    def _has_parameters(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return any(True for _ in self._modules[str(node.target)].parameters())
        return any(
            isinstance(self._attribute(source), nn.Parameter)
            for source in node.all_input_nodes
            if source.op == "get_attr"
        )

    def _normalises_the_batch(self, node: fx.Node) -> bool:
        """True for a functional batch norm in train mode that sees activations, not weights."""
        if getattr(node.target, "__name__", "") != "batch_norm":
            return False
        training = node.kwargs.get("training", node.args[5] if len(node.args) > 5 else False)
        return bool(training) and "placeholder" in {n.op for n in _ancestors([node])}

    def _single_nodes_before(self, crossing: list[fx.Node], shapes: Shapes) -> list[fx.Node]:
        """The storable nodes that everything from the photo to `crossing` passes through.

        In topological order a node lies on every way exactly if no edge jumps over it.
        """
        order = [n for n in self._graph.graph.nodes if n in _ancestors(crossing) & shapes.of_photo]
        position = {node: i for i, node in enumerate(order)}
        reach, found = -1, []
        for i, node in enumerate(order):
            if reach <= i and node in shapes.rows and node not in crossing:
                found.append(node)
            ends = [position[user] for user in node.users if user in position]
            reach = max(reach, *ends, len(order) if node in crossing else -1, i)
        return found

    def _repeated_macs(self, node: fx.Node, crossing: list[fx.Node], shapes: Shapes) -> int:
        return sum(shapes.macs.get(n, 0) for n in _ancestors(crossing) - _ancestors([node]))

    def _attribute(self, node: fx.Node) -> object:
        parent, _, name = str(node.target).rpartition(".")
        return getattr(self._graph.get_submodule(parent), name)


def _sees_the_batch(module: nn.Module) -> bool:
    """True for normalisation that uses, or collects, statistics of the batch it is given."""
    return any(
        (isinstance(part, _BatchNorm) and not part.track_running_stats)
        or (
            isinstance(part, _NormBase)
            and part.training
            and not keeps_statistics(part)
            and (isinstance(part, _BatchNorm) or part.track_running_stats)
        )
        for part in module.modules()
    )


def _owner(node: fx.Node) -> str:
    """The path of the module whose train flag decides whether the node drops anything."""
    if node.op == "call_module":
        return str(node.target)
    path: str = next(reversed(node.meta.get("nn_module_stack") or {"": None}))
    return path


def _ancestors(nodes: list[fx.Node]) -> set[fx.Node]:
    """The nodes and all that they are computed from."""
    seen: set[fx.Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(node.all_input_nodes)
    return seen
