"""How long training will take here, and how much memory, from a few seconds with the own photos.

Photos are decoded and run through the frozen network as in training, and a few steps of training
are timed on noise; nothing is stored. The figures are for a first training, with nothing stored
yet, at the default epochs and batch size.

What a photo takes on its way through decoder and frozen network, measured on some of them.

What solving a linear head takes on this machine, from one pass over noise.

What a step of training takes on this machine, measured on a few photos' worth of noise.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from budwood.errors import CutError, PhotoError
from budwood.features.engines import preferred_specs, seconds_per_image
from budwood.features.extraction import Decoded, Unreadable, decoded, extract
from budwood.features.openvino import cpu_capabilities
from budwood.features.rows import IN_MEMORY
from budwood.features.verification import PROBES, trusted_engine
from budwood.images.preprocessing import Preprocessing
from budwood.learning.precision import FASTER
from budwood.learning.regularisation import HELD_OUT
from budwood.learning.streaming import EVALUATION_BYTES, KEPT_BYTES
from budwood.learning.training import Training, total_loss
from budwood.machine import most_memory
from budwood.models.building import build
from budwood.models.heads import head_names
from budwood.models.info import preprocessing_of
from budwood.models.prepared import Prepared
from budwood.reporter import SILENT
from budwood.surgery.cutting import Cut, FrontierTensor, cut
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.stages import Stages, last_stage, stages_of
from budwood.surgery.torch_internals import tree_leaves

DECODING, RUNNING = 1.0, 2.5
"""Seconds for decoding alone, and for decoding with the network."""


@dataclass(frozen=True)
class PhotoTimes:
    """Seconds a photo on this machine, all cores together."""

    decoding: float
    running: float
    """Decoding and the network."""
    building: float
    """Seconds, once, for the engine and its verification."""
    photos: int
    """That were decoded."""
    unreadable: dict[Path, str]
    """Those of them that cannot be, with the reason."""
    measuring: float
    """Seconds that all of this took without the building."""


def photo_times(
    trunk: nn.Module, preprocessing: Preprocessing, paths: Sequence[Path]
) -> PhotoTimes:
    """Decode some photos, and run the network on some; nothing is stored.

    Args:
        trunk: Pixels to a tuple of tensors.
        preprocessing: From file bytes to pixels.
        paths: Photos, of which evenly spread ones are taken.
    """
    unreadable: dict[Path, str] = {}
    spread = _spread(paths)
    started = time.perf_counter()
    first = list(_noting(decoded(spread[:PROBES], preprocessing), unreadable))
    probe = [image.pixels for image in first if isinstance(image, Decoded)]
    if not probe:
        path, reason = next(iter(unreadable.items()))
        raise PhotoError(
            f"None of {len(unreadable)} photos can be read, the first is {path}: {reason}",
            next="Copy the photos again.",
            file=path,
        )
    one = (time.perf_counter() - started) / len(probe)
    some = spread[PROBES:][: int(DECODING / one)] or spread
    decoding = _seconds_each(_noting(decoded(some, preprocessing), unreadable), len(some))
    began = time.perf_counter()
    specs = preferred_specs("auto", "cpu")
    engine, _ = trusted_engine(trunk, specs, np.stack(probe), SILENT)
    count = int(RUNNING / (decoding + seconds_per_image(engine, np.stack(probe))))
    sample = spread[: max(PROBES, count)]
    building = time.perf_counter() - began
    rows = extract(decoded(sample, preprocessing), engine)
    running = _seconds_each(_noting(rows, unreadable), len(sample))
    measuring = time.perf_counter() - started - building
    return PhotoTimes(
        decoding, running, building, max(len(some), len(sample)), unreadable, measuring
    )


def _spread(paths: Sequence[Path]) -> list[Path]:
    """All photos in an order whose beginning is spread evenly over them."""
    order = np.random.default_rng(0).permutation(len(paths))
    return [paths[i] for i in order]


def _seconds_each(things: Iterable[object], count: int) -> float:
    started = time.perf_counter()
    for _ in things:
        pass
    return (time.perf_counter() - started) / count


def _noting(things: Iterable[object], unreadable: dict[Path, str]) -> Iterator[object]:
    """The same, with what cannot be read taken down."""
    for thing in things:
        if isinstance(thing, Unreadable):
            unreadable[thing.path] = thing.reason
        yield thing


ROWS = 2048
"""Rows of noise; passes over more take so many times as long."""
WIDEST = 1024
"""Features of which the axes are found; of more it takes the cube of the ratio."""
PASSES = 150
"""Passes over the rows until penalty and optimum are found: a typical number."""
FOLDS = 5


def probe_seconds(photos: int, width: int, classes: int) -> float:
    """Seconds that `fit_probe` takes for so many photos of so many features and classes."""
    m = min(photos, width)
    rows, folds = min(photos, ROWS), min(FOLDS, max(1, -(-HELD_OUT * FOLDS // photos)))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, m, generator=generator)
    w = torch.randn(folds * classes, m, generator=generator)
    narrow = x[:, :WIDEST]
    _probe_pass(x, w)
    one = _seconds(lambda: _probe_pass(x, w)) * photos / rows
    axes = _seconds(lambda: torch.linalg.eigh(narrow.T @ narrow)) * (m / narrow.shape[1]) ** 3
    return PASSES * one + axes


def _probe_pass(x: torch.Tensor, w: torch.Tensor) -> None:
    log_p = (w @ x.T).log_softmax(0)
    log_p.exp_() @ x


def _seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


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
        line, size, rows = _LinearTime(0.0, once / FEWEST), FEWEST, few
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
class _LinearTime:
    """Seconds of a pass as a line over the photos in it."""

    step: float
    photo: float

    def of(self, photos: int) -> float:
        """Seconds with so many photos."""
        return self.step + photos * self.photo


def _line(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, limit: float, bf16: bool
) -> _LinearTime:
    """What a pass over any number of photos takes, from one over few and one over all of these."""
    few, size = tuple(tensor[:FEWEST] for tensor in rows), len(labels)
    _pass(graft, few, labels[:FEWEST], bf16)  # the first pays for memory and choices
    short = _least(limit / 4, lambda: _pass(graft, few, labels[:FEWEST], bf16))
    long = _least(limit / 2, lambda: _pass(graft, rows, labels, bf16))
    photo = min(max((long - short) / (size - FEWEST), 0.2 * long / size), long / size)
    return _LinearTime(long - size * photo, photo)


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


STEPPING = 1.5
"""Seconds for the steps of each graft."""
BESIDES = 2.0
"""Seconds of what is not measured: the proof that what is frozen has not moved, and saving."""


@dataclass(frozen=True)
class TimeForecast:
    """What one way of training will take."""

    trains: str
    """`head`, `last stage` or `whole network`."""
    unfreeze: tuple[str, ...]
    """What `--unfreeze` is given."""
    parameters: int
    """That train."""
    seconds: float
    """From the start of the command to its end."""
    memory_bytes: int
    """At the peak."""
    stored_bytes: int
    """That the feature store will take."""

    def after(self, seconds: float) -> "TimeForecast":
        """The same with what a command takes before it comes to the network."""
        return replace(self, seconds=self.seconds + seconds)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"unfreeze": list(self.unfreeze)}


def forecasts(
    model: str, classes: int, training: Sequence[Path], judged: int
) -> tuple[tuple[TimeForecast, ...], PhotoTimes, float]:
    """What training a head, the last stage or the whole network on these photos will take.

    The network has random weights: they take as long.

    Returns:
        The forecasts, without what a command takes before it builds a network, and without one of
        the last stage where the network has no stages; how the photos were; and the seconds that
        measuring took.
    """
    started = time.perf_counter()
    network = build(model, weights="none", classes=classes)
    forecaster = _Forecaster(network, classes, len(training), judged)
    trunk = forecaster.head_cut().trunk
    forecaster.starting = time.perf_counter() - started
    times = photo_times(trunk, preprocessing_of(network), training)
    forecaster.taken = most_memory()
    found = [forecaster.head(times), *forecaster.last_stage(times), forecaster.whole(times)]
    return tuple(found), times, times.measuring + forecaster.measuring


class _Forecaster:
    """One network and so many photos."""

    def __init__(self, network: nn.Module, classes: int, training: int, judged: int) -> None:
        self._network, self._classes = network, classes
        self._training, self._all = training, training + judged
        self._prepared = Prepared(network, preprocessing_of(network))
        self.starting = 0.0
        """Seconds until there is a network, and it is cut."""
        self.taken = 0
        """Bytes of memory, at the peak, when photos have gone through it."""
        self.measuring = 0.0
        """Seconds of training steps."""

    def head_cut(self) -> Cut:
        """The network cut for a new head."""
        return self._cut(trains=False)

    def head(self, times: PhotoTimes) -> TimeForecast:
        """Nothing but the head trains: it is solved."""
        head = self.head_cut()
        width = sum(torch.Size(tensor.shape).numel() for tensor in head.frontier)
        seconds = (
            times.building
            + self._all * times.running
            + probe_seconds(self._training, width, self._classes)
        )
        kept = min(4 * width * self._training, KEPT_BYTES)
        return self._forecast("head", (), head, seconds, 2 * kept)

    def last_stage(self, times: PhotoTimes) -> Iterator[TimeForecast]:
        """The last stage and the head train; nothing, where the network has no stages."""
        try:
            stages = self._stages()
        except CutError:
            return
        share = stages.stages[-2].macs / stages.stages[-1].macs if len(stages.stages) > 1 else 0.0
        running = times.decoding + share * (times.running - times.decoding)
        yield self._trained("last stage", last_stage(stages), running, times)

    def whole(self, times: PhotoTimes) -> TimeForecast:
        """Everything trains: photos are only decoded once."""
        return self._trained("whole network", ("*",), times.decoding, times)

    def _trained(
        self, what: str, globs: tuple[str, ...], running: float, times: PhotoTimes
    ) -> TimeForecast:
        this = self._cut(*globs)
        usual = Training()
        limit = STEPPING * (2 if what == "whole network" else 1)
        step = step_times(this.graft, this.frontier, self._classes, usual.batch_size, limit)
        self.measuring += step.measuring
        loop = step.training(self._training, usual.epochs, usual.batch_size)
        loop += 0.8 * loop  # it is trained once more, on four photos in five
        seconds = (
            (times.building if running > times.decoding else 0.0)
            + self._all * (running + step.forward)
            + loop
        )
        # Rows are copied a few times, and gradients come beside the values.
        rows = 2 * min(this.row_bytes * self._training, IN_MEMORY)
        answered = min(self._training, 1024, EVALUATION_BYTES // this.row_bytes)
        values = max(1.25 * usual.batch_size * step.kept, 1.2 * answered * step.alive)
        memory = rows + 3 * step.parameters + int(values)
        return self._forecast(what, globs, this, seconds, memory)

    def _forecast(
        self,
        trains: str,
        globs: tuple[str, ...],
        this: Cut,
        seconds: float,
        memory: int,
    ) -> TimeForecast:
        trained = sum(p.numel() for p in self._network.parameters() if p.requires_grad)
        return TimeForecast(
            trains,
            globs,
            trained,
            self.starting + seconds + BESIDES,
            self.taken + memory,
            this.row_bytes * self._all,
        )

    def _stages(self) -> Stages:
        height, width = self._prepared.preprocessing.size
        channels = len(self._prepared.preprocessing.mean)
        return stages_of(self._prepared, torch.zeros(1, height, width, channels, dtype=torch.uint8))

    def _cut(self, *globs: str, trains: bool = True) -> Cut:
        freeze(self._network, "*")
        unfreeze(self._network, *head_names(self._network), *globs)
        return cut(self._prepared.train(trains))
