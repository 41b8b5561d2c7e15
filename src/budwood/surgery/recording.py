"""One run of a traced graph, on shapes alone, watched operation by operation.

Names and signatures cannot tell which code draws random numbers or overwrites its input; the
operations that reach PyTorch's dispatcher can, also from within code that was not traced.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import flop_registry

from budwood.errors import CutError
from budwood.surgery.axes import FeatureAxes
from budwood.surgery.torch_internals import (
    StorageWeakRef,
    TorchDispatchMode,
    arguments_of,
    shapes_only,
    tree_leaves,
    tree_map_only,
)
from budwood.surgery.tracing import Traced, UntraceableError, watching_randomness

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
        own = (*traced.root.parameters(), *traced.root.buffers())
        self._state = {watch.storage(tensor) for tensor in own}

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
        named = arguments_of(func, args, kwargs or {})
        is_switched_on = all(named[name] for name in _SWITCHES & named.keys())
        self.drew |= torch.Tag.nondeterministic_seeded in func.tags and is_switched_on
        self.read_values |= func is torch.ops.aten._local_scalar_dense.default
        is_norm = "batch_norm" in func._schema.name
        self.used_batch_statistics |= is_norm and bool(named.get("training"))
        for argument in func._schema.arguments:
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


def follow_overwritten_values(record: Record) -> None:
    """Let all that reads an overwritten value later read the result of the overwriting.

    The order of nodes alone then decides what each of them sees.
    """
    sharing = SharedMemory(record)
    for node, sources in record.overwrites.items():
        shared = set[fx.Node]().union(*map(sharing.nodes_with, sources))
        for seen in {other for other in shared if sharing.is_before(other, node)}:
            for user in list(seen.users):
                if not sharing.is_before(node, user):
                    continue
                if _place(record, seen) != _place(record, node):
                    raise UntraceableError(
                        f"{node.name} overwrites a part of {seen.name}, which is read later"
                    )
                user.replace_input_with(seen, node)


class SharedMemory:
    """Which nodes of a graph have values in the same memory."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._order = {node: i for i, node in enumerate(record.places)}
        self._in_storage: dict[int, list[fx.Node]] = defaultdict(list)
        for node, places in record.places.items():
            for storage in {place[0] for place in places}:
                self._in_storage[storage].append(node)

    def is_before(self, node: fx.Node, other: fx.Node) -> bool:
        return self._order[node] < self._order[other]

    def nodes_with(self, node: fx.Node) -> set[fx.Node]:
        storages = {place[0] for place in self._record.places[node]}
        return {node, *(other for s in storages for other in self._in_storage[s])}


def _place(record: Record, node: fx.Node) -> Place | None:
    places = record.places[node]
    return places[0] if len(places) == 1 else None


BATCHES = 10007, 10009
"""Batch sizes of the runs without data: no network has such a dimension of its own."""
REAL_BATCHES = 2, 3
"""Batch sizes where the network must really be run; two, as a dimension may happen to be 2."""

LIGHT = 1.5e12
"""Parameters times pixels of a photo, up to which a network is light: ResNet50 is at 224 px."""

RowShape = tuple[tuple[int, ...], torch.dtype]


@dataclass(frozen=True)
class Shapes:
    """What is known of each node of a graph after two runs with different batch sizes."""

    traced: Traced
    example: Tensor
    batches: tuple[int, int]
    record: Record
    is_real: bool

    @cached_property
    def carriers(self) -> set[fx.Node]:
        """Nodes that hold a tensor which is computed from the photo, not only from its shape."""
        found: set[fx.Node] = set()
        for node in self.traced.graph.nodes:
            from_image = node.op == "placeholder" or any(n in found for n in node.all_input_nodes)
            if from_image and holds_tensor(self.record.values.get(node)):
                found.add(node)
        return found

    @cached_property
    def tensors(self) -> set[fx.Node]:
        """The carriers that are one tensor."""
        return {n for n in self.carriers if isinstance(self.record.values[n], Tensor)}

    @cached_property
    def rows(self) -> dict[fx.Node, RowShape]:
        """Shape and type of one photo's share, for the tensors whose first axis is the photo."""
        return {
            node: (tuple(value.shape[1:]), value.dtype)
            for node in self.tensors
            if (value := self.record.values[node]).shape[:1] == self.batches[:1]
            and self._follows_batch(node, value)
        }

    @property
    def total_macs(self) -> int:
        return sum(self.record.macs.values())

    def bytes(self, node: fx.Node) -> int:
        """Bytes of one photo's row of a node."""
        shape, dtype = self.rows[node]
        return int(torch.Size(shape).numel()) * dtype.itemsize

    def growth(self, node: fx.Node) -> Any:
        """A node's value that is no tensor, with every number that follows the batch marked."""
        return self._compare(self.record.values[node], self._other_values[node], node)

    @cached_property
    def _other_values(self) -> dict[fx.Node, Any]:
        run = _run_for_real if self.is_real else _run_on_shapes
        return run(self.traced, self.example, self.batches[1]).values

    def _follows_batch(self, node: fx.Node, value: Tensor) -> bool:
        if not self.is_real:
            return True
        expected = (self.batches[1], *value.shape[1:])
        return tuple(self._other_values[node].shape) == expected

    def _compare(self, value: Any, other: Any, node: fx.Node) -> Any:
        if isinstance(value, tuple | list):
            parts = [self._compare(a, b, node) for a, b in zip(value, other, strict=True)]
            return tuple(parts) if isinstance(value, tuple) else parts
        if value == other:
            return value
        batch, other_batch = self.batches
        if type(value) is not int or value * other_batch != other * batch or value % batch:
            raise CutError(
                f"{node.name} depends on the batch size in a way that cannot be cut: "
                f"{value} for {batch} photos, {other} for {other_batch}.",
                next="Freeze less of the network, or rewrite this step for one photo at a time.",
            )
        return PerImage(value // batch)


@dataclass(frozen=True)
class PerImage:
    """A number that is this multiple of the batch size."""

    factor: int


def probe_shapes(traced: Traced, example: Tensor) -> Shapes:
    """Shapes, types, costs and side effects of every node for inputs like `example` (`1 ...`).

    They are found on shapes alone. Only code that looks at values, and a network that runs in less
    time than PyTorch needs to import what that takes, is really run: as a copy, on a small batch of
    noise. What reads an overwritten value in the graph then reads the result of the overwriting.
    """
    ways = [(_run_on_shapes, BATCHES), (_run_for_real, REAL_BATCHES)]
    if is_light(traced.root, example):
        ways.reverse()
    problems: list[Exception] = []
    for run, batches in ways:
        try:
            found = run(traced, example, batches[0])
        except Exception as problem:  # of any kind: the code is the user's
            problems.append(problem)
        else:
            follow_overwritten_values(found)
            return Shapes(traced, example, batches, found, is_real=run is _run_for_real)
    reason = problems[ways.index((_run_for_real, REAL_BATCHES))]
    raise CutError(
        f"The network cannot be run on an input of shape {tuple(example.shape)}: "
        f"{str(reason).splitlines()[0]}",
        next="Check its preprocessing, or pass an example of the right shape.",
    ) from reason


def is_light(network: nn.Module, example: Tensor) -> bool:
    """True if running the network on a few photos is a matter of half a second."""
    pixels = max(prod(example.shape[-2:]), prod(example.shape[1:3]))  # n c h w or n h w c
    return sum(p.numel() for p in network.parameters()) * pixels <= LIGHT


def holds_tensor(value: Any) -> bool:
    """True for a tensor, and for a tuple, list or dict with one in it."""
    return any(isinstance(leaf, Tensor) for leaf in tree_leaves(value))


def _run_on_shapes(traced: Traced, example: Tensor, batch: int) -> Record:
    shape = (batch, *example.shape[1:])
    # Parameters are safe, but PyTorch does count batches in the buffer of a real BatchNorm.
    shared = {id(p): p for p in traced.root.parameters()}
    traced = replace(traced, root=copy.deepcopy(traced.root, shared))
    with shapes_only():
        return record(traced, torch.empty(shape, dtype=example.dtype, device=example.device))


def _run_for_real(traced: Traced, example: Tensor, batch: int) -> Record:
    """The same on a copy with tensors of its own, which may be changed."""
    generator = torch.Generator().manual_seed(batch)
    noise = torch.rand((batch, *example.shape[1:]), generator=generator)
    scaled = noise if example.is_floating_point() else noise * 255
    images = scaled.to(example.device, example.dtype)
    return record(replace(traced, root=copy.deepcopy(traced.root)), images)
