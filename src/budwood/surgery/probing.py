"""The shapes and costs of every value in a traced network, found without computing one of them."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from budwood.errors import CutError

BATCH, OTHER_BATCH = 11, 13
"""Two batch sizes that no network uses as a constant of its own."""

RowShape = tuple[tuple[int, ...], torch.dtype]


@dataclass(frozen=True)
class Shapes:
    """What is known of each node of a graph after a run on shapes alone."""

    graph: fx.GraphModule
    example: Tensor
    values: dict[fx.Node, Any]
    """Each node's value for a batch of `BATCH`; tensors without data."""
    macs: dict[fx.Node, int]
    """Multiply-adds of each node for one photo."""
    of_photo: set[fx.Node] = field(default_factory=set)
    """Nodes that are tensors and computed from the photo's values, not only from its shape."""

    @cached_property
    def rows(self) -> dict[fx.Node, RowShape]:
        """Shape and type of one photo's share, for the tensors whose first axis is the photo."""
        return {
            node: (tuple(value.shape[1:]), value.dtype)
            for node in self.of_photo
            if (value := self.values[node]).dim() and value.shape[0] == BATCH
        }

    @property
    def total_macs(self) -> int:
        """Multiply-adds of the whole network for one photo."""
        return sum(self.macs.values())

    def bytes(self, node: fx.Node) -> int:
        """Bytes of one photo's row of a node."""
        shape, dtype = self.rows[node]
        return int(torch.Size(shape).numel()) * dtype.itemsize

    @cached_property
    def _other_values(self) -> dict[fx.Node, Any]:
        return _run(self.graph, self.example, OTHER_BATCH)[0]

    def growth(self, node: fx.Node) -> Any:
        """A node's value that is no tensor, with every number that follows the batch marked.

        Raises:
            CutError: If a number depends on the batch in a way other than as a multiple of it.
        """
        return _compare(self.values[node], self._other_values[node], node)


@dataclass(frozen=True)
class PerPhoto:
    """A number that is this multiple of the batch size."""

    factor: int


def probe_shapes(graph: fx.GraphModule, example: Tensor) -> Shapes:
    """Shapes, types and costs of every node for inputs like `example` (`1 ...`).

    Raises:
        CutError: If the network cannot be run on such an input at all.
    """
    values, macs = _run(graph, example, BATCH)
    shapes = Shapes(graph, example, values, macs)
    for node in graph.graph.nodes:
        is_tensor = isinstance(values.get(node), Tensor)
        from_photo = node.op == "placeholder" or any(
            source in shapes.of_photo or _holds_photo(source, shapes)
            for source in node.all_input_nodes
        )
        if is_tensor and from_photo:
            shapes.of_photo.add(node)
    return shapes


def _holds_photo(node: fx.Node, shapes: Shapes) -> bool:
    """True for a tuple or list of tensors that are computed from the photo."""
    value = shapes.values.get(node)
    return (
        isinstance(value, tuple | list)
        and any(isinstance(part, Tensor) for part in value)
        and any(s in shapes.of_photo or _holds_photo(s, shapes) for s in node.all_input_nodes)
    )


class _Recorder(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, counter: FlopCounterMode) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self._counter = counter
        self.values: dict[fx.Node, Any] = {}
        self.macs: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        before = self._counter.get_total_flops()
        value = self.values[n] = super().run_node(n)
        self.macs[n] = (self._counter.get_total_flops() - before) // 2
        return value


def _run(
    graph: fx.GraphModule, example: Tensor, batch: int
) -> tuple[dict[fx.Node, Any], dict[fx.Node, int]]:
    shape = (batch, *example.shape[1:])
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            recorder = _record(graph, torch.empty(shape, dtype=example.dtype))
    except Exception:
        # Opaque code that looks at values cannot run on shapes alone: run it, on a copy.
        twin = copy.deepcopy(graph).eval()
        try:
            recorder = _record(twin, torch.zeros(shape, dtype=example.dtype))
        except Exception as problem:
            raise CutError(
                f"The network cannot be run on an input of shape {tuple(example.shape)}: "
                f"{str(problem).splitlines()[0]}",
                next="Check its preprocessing, or pass an example of the right shape.",
            ) from problem
        originals = dict(zip(twin.graph.nodes, graph.graph.nodes, strict=True))
        values = {originals[node]: value for node, value in recorder.values.items()}
        macs = {originals[node]: count for node, count in recorder.macs.items()}
        return values, {node: count // batch for node, count in macs.items()}
    return recorder.values, {node: count // batch for node, count in recorder.macs.items()}


def _record(graph: fx.GraphModule, batch: Tensor) -> _Recorder:
    counter = FlopCounterMode(display=False)
    recorder = _Recorder(graph, counter)
    with torch.no_grad(), counter:
        recorder.run(batch)
    return recorder


def _compare(value: Any, other: Any, node: fx.Node) -> Any:
    """The value with each number that differs between the two batch sizes as `PerPhoto`."""
    if isinstance(value, tuple | list):
        parts = [_compare(a, b, node) for a, b in zip(value, other, strict=True)]
        return tuple(parts) if isinstance(value, tuple) else parts
    if isinstance(value, int) and not isinstance(value, bool) and value != other:
        if value * OTHER_BATCH != other * BATCH or value % BATCH:
            raise CutError(f"{node.name} depends on the batch size in a way that cannot be cut.")
        return PerPhoto(value // BATCH)
    return value
