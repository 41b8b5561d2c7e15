"""One run of a traced graph, watched operation by operation: what each node does besides its value.

Names and signatures cannot tell which code draws random numbers or overwrites its input; the
operations that reach PyTorch's dispatcher can, also from within code that was not traced.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import flop_registry

from budwood.surgery.axes import FeatureAxes
from budwood.surgery.stochastic import watching_randomness
from budwood.surgery.torch_internals import (
    StorageWeakRef,
    TorchDispatchMode,
    tree_leaves,
    tree_map_only,
)
from budwood.surgery.tracing import Traced

_SWITCHES = {"dropout", "dropout_p", "train", "training"}
"""Arguments of operations that draw random numbers only if none of these is 0 or False."""

Place = tuple[int, tuple[int, ...], tuple[int, ...], int]
"""Where a tensor lies: its storage, shape, strides and offset."""


@dataclass
class Record:
    """What a run showed of each node."""

    values: dict[fx.Node, Any] = field(default_factory=dict)
    """Each node's value; tensors without data."""
    macs: dict[fx.Node, int] = field(default_factory=dict)
    """Multiply-adds of each node."""
    axes: dict[fx.Node, int] = field(default_factory=dict)
    """The axis of each node's tensor that holds features, where it is known."""
    places: dict[fx.Node, tuple[Place, ...]] = field(default_factory=dict)
    """Where the tensors of each node's value lie."""
    overwrites: dict[fx.Node, tuple[fx.Node, ...]] = field(default_factory=dict)
    """The inputs whose memory a node writes to; nodes that write to none are left out."""
    draws: set[fx.Node] = field(default_factory=set)
    """Nodes that draw random numbers in the network's mode."""
    unsteady: set[fx.Node] = field(default_factory=set)
    """Nodes that may give another value each time, even in eval mode, or that change the state
    of a module."""


def record(traced: Traced, batch: Tensor) -> Record:
    """Run the graph on a batch, in the network's mode, and watch."""
    watch = _Watch()
    recorder = _Recorder(traced, watch)
    watch.axes.begin(batch)
    with torch.no_grad(), watching_randomness(), watch:
        recorder.run(batch)
    return recorder.record


class _Recorder(fx.Interpreter):
    def __init__(self, traced: Traced, watch: "_Watch") -> None:
        super().__init__(traced.root, graph=traced.graph)
        self.record = Record()
        self._traced = traced
        self._watch = watch
        self._state = {self._watch.storage(t) for t in (*self._parameters(), *self._buffers())}

    def run_node(self, n: fx.Node) -> Any:
        watch, record = self._watch, self.record
        drew, value = self._watched(n)
        record.macs[n] = watch.flops // 2
        if (axis := watch.axes.of(value)) is not None:
            record.axes[n] = axis
        written = set(watch.written)
        if drew:
            record.draws.add(n)
        if written & self._state or (watch.read_values and n.op != "call_module"):
            record.unsteady.add(n)
        if n.op == "call_module" and (drew or n.target in self._traced.opaque):
            with _in_eval(self._traced.module(n)):
                drew, _ = self._watched(n)
            written |= set(watch.written)
            if drew or watch.used_batch_statistics or set(watch.written) & self._state:
                record.unsteady.add(n)
        overwritten = [
            source
            for source in n.all_input_nodes
            if source.op != "get_attr" and written & {p[0] for p in record.places[source]}
        ]
        if overwritten:
            record.overwrites[n] = tuple(overwritten)
        record.places[n] = tuple(
            (watch.storage(t), tuple(t.shape), t.stride(), int(t.storage_offset()))
            for t in tree_leaves(value)
            if isinstance(t, Tensor)
        )
        record.values[n] = tree_map_only(Tensor, _without_data, value)
        return value

    def _watched(self, n: fx.Node) -> tuple[bool, Any]:
        """Whether running the node draws random numbers, and its value."""
        self._watch.clear()
        if n.op == "call_module" and n.target in self._traced.opaque:
            with watching_randomness() as drawn:
                value = super().run_node(n)
            return drawn[0] or self._watch.drew, value
        value = super().run_node(n)
        return self._watch.drew, value

    def _parameters(self) -> Iterator[Tensor]:
        return self._traced.root.parameters()

    def _buffers(self) -> Iterator[Tensor]:
        return self._traced.root.buffers()


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation: whether it is random, what it overwrites, whether it looks, its cost."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch._dynamo takes long to import

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept: dict[int, StorageWeakRef] = {}
        self.axes = FeatureAxes()
        self.clear()

    def clear(self) -> None:
        """Forget what was seen so far."""
        self.drew = False
        self.written: set[int] = set()
        self.read_values = False
        self.used_batch_statistics = False
        self.flops = 0

    def storage(self, tensor: Tensor) -> int:
        """A number for the memory that a tensor lies in; none is given out twice."""
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        return int(self._kept.setdefault(reference.cdata, reference).cdata)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        arguments = func._schema.arguments
        given = dict(zip((a.name for a in arguments), args, strict=False)) | (kwargs or {})
        named = {a.name: given.get(a.name, a.default_value) for a in arguments}
        is_switched_on = all(named[name] for name in _SWITCHES & named.keys())
        self.drew |= torch.Tag.nondeterministic_seeded in func.tags and is_switched_on
        self.read_values |= func is torch.ops.aten._local_scalar_dense.default
        is_norm = "batch_norm" in func._schema.name
        self.used_batch_statistics |= is_norm and bool(named.get("training"))
        for argument in arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                written = tree_leaves(named[argument.name])
                self.written |= {self.storage(t) for t in written if isinstance(t, Tensor)}
        value = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=value)
        self.axes.follow(func, named, value)
        return value


@contextmanager
def _in_eval(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    for part, _ in modes:
        part.training = False
    yield
    for part, mode in modes:
        part.training = mode


def _without_data(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
