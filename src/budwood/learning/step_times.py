"""What a step of training takes on this machine, measured on a few photos' worth of noise."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from budwood.features.openvino import cpu_capabilities
from budwood.learning.precision import FASTER
from budwood.learning.training import total_loss
from budwood.surgery.cutting import FrontierTensor
from budwood.surgery.torch_internals import tree_leaves

FEWEST = 2
"""Photos of the first try: batch normalisation needs two."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a training step, and what it keeps in memory."""

    photo: float
    """Seconds for each photo of a batch, forwards and backwards."""
    step: float
    """Seconds for each batch besides: the optimizer."""
    forward: float
    """Seconds for a photo that is only answered."""
    kept: int
    """Bytes that are kept for each photo of a batch on the way forwards."""
    alive: int
    """Bytes that are needed at once for each photo that is only answered."""
    parameters: int
    """Bytes of what trains; gradients and moments take three times as much again."""
    measuring: float
    """Seconds that finding this out took."""

    def training(self, photos: int, epochs: int, batch: int) -> float:
        """Seconds of so many passes over so many photos."""
        steps = -(-photos // batch)
        return epochs * (photos * self.photo + steps * self.step)


def step_times(
    graft: nn.Module, frontier: Sequence[FrontierTensor], classes: int, batch: int, limit: float
) -> StepTimes:
    """Time forward and backward passes of a graft that is in train mode, and a step of AdamW.

    Where a batch would take longer than `limit` a smaller one is timed. Convolutions are timed in
    bf16 too, which the loop uses where it is clearly faster. The graft's weights are changed.

    Args:
        graft: A tuple of frontier tensors to logits, or to a tuple of them.
        frontier: Shapes and types of those tensors.
        classes: Of the labels.
        batch: Photos in a step.
        limit: Seconds that the timing should take.
    """
    started = time.perf_counter()
    parameters = [p for p in graft.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, 1e-6, fused=True)
    has_convolutions = any(p.dim() > 2 for p in parameters)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        few, truth = _noise(frontier, FEWEST), torch.randint(classes, (FEWEST,))
        kept = _kept(graft, few, truth, parameters)  # this first pass also pays for memory
        once = _pass(graft, few, truth)
        line, size, rows = _Line(0.0, once / FEWEST), FEWEST, few
        if (more := min(batch, int(FEWEST * limit / (4 * once)))) > FEWEST:
            size, rows, labels = more, _noise(frontier, more), torch.randint(classes, (more,))
            line = _line(graft, rows, labels, limit / 2, bf16=False)
            if has_convolutions and line.of(size) < limit / 3 and "BF16" in cpu_capabilities():
                fast = _line(graft, rows, labels, limit / 2, bf16=True)
                line = fast if fast.of(batch) <= FASTER * line.of(batch) else line
        optimizer.step()  # makes its moments
        step = line.step + _least(limit / 8, lambda: _timed(optimizer.step))
        graft.eval()
        with torch.inference_mode(), _largest_layer(graft) as most:
            forward = _timed(lambda: graft(rows)) / size
        graft.train()
    optimizer.zero_grad()
    bytes_of_all = sum(p.numel() * p.element_size() for p in parameters)
    measuring = time.perf_counter() - started
    alive = most[0] // size
    return StepTimes(line.photo, step, forward, kept // FEWEST, alive, bytes_of_all, measuring)


@dataclass(frozen=True)
class _Line:
    """Seconds of a pass as a line over the photos in it."""

    step: float
    photo: float

    def of(self, photos: int) -> float:
        """Seconds with so many photos."""
        return self.step + photos * self.photo


def _line(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, limit: float, bf16: bool
) -> _Line:
    """What a pass over any number of photos takes, from one over few and one over all of these."""
    few, size = tuple(tensor[:FEWEST] for tensor in rows), len(labels)
    _pass(graft, few, labels[:FEWEST], bf16)  # the first pays for memory and choices
    short = _least(limit / 4, lambda: _pass(graft, few, labels[:FEWEST], bf16))
    long = _least(limit / 2, lambda: _pass(graft, rows, labels, bf16))
    photo = min(max((long - short) / (size - FEWEST), 0.2 * long / size), long / size)
    return _Line(long - size * photo, photo)


def _pass(graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, bf16: bool = False) -> float:
    """Forwards and backwards; the seconds that it took."""
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = total_loss(graft(rows), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - started


def _kept(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, parameters: Sequence[Tensor]
) -> int:
    """Bytes that a forward pass keeps for the way back, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = total_loss(graft(rows), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return sum(storages.values())


@contextmanager
def _largest_layer(graft: nn.Module) -> Iterator[list[int]]:
    """The most bytes that a layer takes and gives; known at the end."""
    most = [0]

    def see(layer: nn.Module, taken: object, given: object) -> None:
        tensors = [leaf for leaf in tree_leaves((taken, given)) if isinstance(leaf, Tensor)]
        most[0] = max(most[0], sum(t.numel() * t.element_size() for t in tensors))

    layers = [m for m in graft.modules() if not any(True for _ in m.children())]
    handles = [layer.register_forward_hook(see) for layer in layers]
    try:
        yield most
    finally:
        for handle in handles:
            handle.remove()


def _noise(frontier: Sequence[FrontierTensor], photos: int) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(photos, *tensor.shape).to(tensor.dtype)
        if tensor.dtype.is_floating_point
        else torch.randint(256, (photos, *tensor.shape), dtype=tensor.dtype)
        for tensor in frontier
    )


def _least(limit: float, seconds: Callable[[], float]) -> float:
    """The least of up to three times, since machines are shared; one, if it takes that long."""
    took = total = seconds()
    for _ in range(2):
        if total + took < limit:
            again = seconds()
            took, total = min(took, again), total + again
    return took


def _timed(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started
