"""The shapes and costs of every value in a traced network, found without computing one of them."""

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from budwood.errors import CutError
from budwood.surgery.recording import Record, record
from budwood.surgery.torch_internals import shapes_only, tree_leaves
from budwood.surgery.tracing import Traced

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
            from_photo = node.op == "placeholder" or any(n in found for n in node.all_input_nodes)
            if from_photo and holds_tensor(self.record.values.get(node)):
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
        """Multiply-adds of the whole network."""
        return sum(self.record.macs.values())

    def bytes(self, node: fx.Node) -> int:
        """Bytes of one photo's row of a node."""
        shape, dtype = self.rows[node]
        return int(torch.Size(shape).numel()) * dtype.itemsize

    def growth(self, node: fx.Node) -> Any:
        """A node's value that is no tensor, with every number that follows the batch marked.

        Raises:
            CutError: If it depends on the batch in a way other than as a multiple of it.
        """
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
        return PerPhoto(value // batch)


@dataclass(frozen=True)
class PerPhoto:
    """A number that is this multiple of the batch size."""

    factor: int


def probe_shapes(traced: Traced, example: Tensor) -> Shapes:
    """Shapes, types, costs and side effects of every node for inputs like `example` (`1 ...`).

    They are found on shapes alone. Only code that looks at values, and a network that runs in less
    time than PyTorch needs to import what that takes, is really run: as a copy, on a small batch of
    noise.

    Raises:
        CutError: If the network cannot be run on such an input at all.
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
    photos = scaled.to(example.device, example.dtype)
    return record(replace(traced, root=copy.deepcopy(traced.root)), photos)
