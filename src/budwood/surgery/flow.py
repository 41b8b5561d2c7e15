"""What flows through a traced network: which values are fixed for a photo, and where they end."""

import operator
from collections.abc import Callable

from torch import fx, nn

from budwood.errors import CutError
from budwood.surgery.freezing import keeps_statistics, trainable_parameters
from budwood.surgery.recording import Shapes
from budwood.surgery.torch_internals import BatchNorm, NormBase
from budwood.surgery.tracing import (
    NO_GRADIENT,
    UntraceableError,
    ancestors,
    drops_attention,
    drops_now,
    is_dropping_call,
    is_random_module,
    reached,
)

SMALL_ROW = 64 * 1024
"""Bytes a photo below which a frontier is taken as it falls: storing it is never a burden."""
WORTHWHILE = 0.85
"""A smaller frontier further up must save at least 15 % of the bytes."""
CHEAP_REPEAT = 0.10
"""... and the frozen steps that the graft then repeats may cost this share of the network."""


class Flow:
    """The sides of a cut: for each node of the graph, whether its value is fixed for a photo.

    A node is *static* if it is frozen, deterministic, and fed only by static nodes. One that is
    random in train mode only, dropout above all, is switched off (silenced) exactly if it is or
    leads to a static layer with parameters; otherwise it is part of the graft and stays on.
    """

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._traced = shapes.traced
        self._record = shapes.record
        self._nodes = list(shapes.traced.graph.nodes)
        if_quiet = self._spread(lambda node: True)
        leads_to_layer = self._leads_to_layer(if_quiet)
        self.static = self._spread(lambda node: leads_to_layer[node])
        self.dropping = {node for node in self.static if self._drops(node)}
        self.opaque = {n for n in self.static if n.target in self._traced.opaque}
        self.silenced = tuple(sorted(self._silenced()))
        self.output = self._nodes[-1]
        self._refuse_stopped_gradients()

    def frontier(self) -> tuple[fx.Node, ...]:
        """The nodes whose values, one row a photo, are handed from trunk to graft."""
        shapes = self._shapes
        crossing = self._crossing()
        if not crossing:
            raise CutError(
                "The network's output does not depend on its input.",
                next="Pass a network whose forward uses the photo it is given.",
            )
        upstream = self._single_nodes_before(crossing)
        ends = crossing if all(node in shapes.rows for node in crossing) else upstream[-1:]
        size = sum(shapes.bytes(node) for node in ends)
        if size <= SMALL_ROW:
            return tuple(ends)
        limit = CHEAP_REPEAT * shapes.total_macs
        better = [
            node
            for node in upstream
            if shapes.bytes(node) <= WORTHWHILE * size and self._repeated_macs(node, ends) <= limit
        ]
        return (min(better, key=shapes.bytes),) if better else tuple(ends)

    def passages(self) -> list[fx.Node]:
        """The storable nodes that everything from the photo to the output passes through."""
        ends = [n for n in self.output.all_input_nodes if n in self._shapes.carriers]
        return self._single_nodes_before(ends)

    def _silenced(self) -> set[str]:
        """The modules whose train flag the trunk ignores: to the network, they are in eval mode."""
        paths: set[str] = set()
        for node in self.static:
            if node.op != "call_module":
                if node in self.dropping:
                    paths.add(owner_of(node))
            elif node in self.dropping | self.opaque:
                parts = self._traced.module(node).named_modules(prefix=str(node.target))
                paths |= {name for name, part in parts if part.training}
        return paths

    def _spread(self, off: Callable[[fx.Node], bool]) -> set[fx.Node]:
        """The static nodes, given which of the dropping ones are switched off."""
        static: set[fx.Node] = set()
        for node in self._nodes:
            fed_by_static = all(source in static for source in node.all_input_nodes)
            if fed_by_static and self._is_fixed(node) and (not self._drops(node) or off(node)):
                static.add(node)
        return static

    def _is_fixed(self, node: fx.Node) -> bool:
        """True if equal inputs give an equal value in every epoch, dropout set aside."""
        if node.op == "output" or node in self._record.unsteady:
            return False
        if node in self._record.draws and not self._drops(node):
            return False
        if node.op == "get_attr":
            return not getattr(self._traced.attribute(node), "requires_grad", False)
        if node.op == "call_module":
            module = self._traced.module(node)
            return not trainable_parameters(module) and not sees_the_batch(module)
        return not self._normalises_the_batch(node)

    def _drops(self, node: fx.Node) -> bool:
        """True if a node is random in the network's mode, and can be switched off."""
        if node.op == "call_module":
            module = self._traced.module(node)
            return node in self._record.draws or (is_random_module(module) and drops_now(module))
        return node.op == "call_function" and (is_dropping_call(node) or drops_attention(node))

    def _leads_to_layer(self, static: set[fx.Node]) -> dict[fx.Node, bool]:
        """Whether a node is random inside a frozen layer, or comes before one on a static way."""
        weighted = {node for node in self._nodes if self._traced.parameters(node)}
        leads: dict[fx.Node, bool] = {}
        for node in reversed(self._nodes):
            leads[node] = (
                drops_attention(node)
                or (node.op == "call_module" and node in weighted)
                or any(user in static and (user in weighted or leads[user]) for user in node.users)
            )
        return leads

    def _normalises_the_batch(self, node: fx.Node) -> bool:
        """True for a functional batch norm in train mode that sees activations, not weights."""
        if getattr(node.target, "__name__", "") != "batch_norm":
            return False
        training = node.kwargs.get("training", node.args[5] if len(node.args) > 5 else False)
        return bool(training) and not self._shapes.carriers.isdisjoint(node.all_input_nodes)

    def _crossing(self) -> list[fx.Node]:
        """The static tensors that the graft needs; of a tuple or dict, what it is made from."""
        ends = [n for n in self.static if any(user not in self.static for user in n.users)]
        tensors, carriers = self._shapes.tensors, self._shapes.carriers

        def made_from(node: fx.Node) -> list[fx.Node]:
            return node.all_input_nodes if node in carriers and node not in tensors else []

        found = reached(ends, made_from) & tensors
        return [node for node in self._nodes if node in found]

    def _single_nodes_before(self, crossing: list[fx.Node]) -> list[fx.Node]:
        """The storable nodes that everything from the photo to `crossing` passes through.

        In topological order a node lies on every way exactly if no edge jumps over it.
        """
        behind = ancestors(*crossing) & self._shapes.carriers
        order = [node for node in self._nodes if node in behind]
        position = {node: i for i, node in enumerate(order)}
        reach, found = -1, []
        for i, node in enumerate(order):
            if reach <= i and node in self._shapes.rows:
                found.append(node)
            ends = [position[user] for user in node.users if user in position]
            reach = max(reach, *ends, len(order) if node in crossing else -1, i)
        return found

    def _repeated_macs(self, node: fx.Node, crossing: list[fx.Node]) -> int:
        repeated = ancestors(*crossing) - ancestors(node)
        return sum(self._record.macs.get(n, 0) for n in repeated)

    def _refuse_stopped_gradients(self) -> None:
        for node in self._nodes:
            if node not in self.static and NO_GRADIENT in node.meta:
                raise UntraceableError(f"{node.name} trains but runs without gradients")


def sees_the_batch(module: nn.Module) -> bool:
    """True for normalisation that uses, or collects, statistics of the batch it is given."""
    return any(
        (isinstance(part, BatchNorm) and not part.track_running_stats)
        or (
            isinstance(part, NormBase)
            and part.training
            and not keeps_statistics(part)
            and (isinstance(part, BatchNorm) or part.track_running_stats)
        )
        for part in module.modules()
    )


def owner_of(node: fx.Node) -> str:
    """The path of the module whose train flag decides whether the node drops anything."""
    stack = list((node.meta.get("nn_module_stack") or {"": ("", None)}).values())
    path: str = stack[-1][0]
    return path


Step = tuple[str, str]
"""`linear` with the name of its layer, or `relu` with no name."""


def chain_of(graft: nn.Module) -> tuple[Step, ...] | None:
    """The layers of a graft in their order, if it is a row of linear layers and ReLUs, else None.

    What does nothing in eval mode, as dropout, is left out.
    """
    if not isinstance(graft, fx.GraphModule):
        return None
    frontier, *nodes, output = graft.graph.nodes
    if not nodes or nodes[0].target is not operator.getitem or nodes[0].args != (frontier, 0):
        return None
    steps: list[Step] = []
    last = nodes[0]
    for node in nodes[1:]:
        if node.op != "call_module" or node.args != (last,) or node.kwargs:
            return None
        module = graft.get_submodule(str(node.target))
        if type(module) is nn.Linear:
            steps.append(("linear", str(node.target)))
        elif type(module) is nn.ReLU:
            steps.append(("relu", ""))
        elif type(module) not in (nn.Dropout, nn.Identity):
            return None
        last = node
    return tuple(steps) if output.args == (last,) else None
