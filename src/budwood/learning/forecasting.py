"""How long training will take here, and how much memory, from a few seconds with the own photos.

A forecast is arithmetic on a few measurements: decoding photos, decoding them with the frozen
network, a pass of the probe and a training step, the last two on noise. Nothing is stored. It is
for a first training, with nothing stored yet, at the default epochs and batch size.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from budwood.errors import CutError, ImageError
from budwood.features.engine_trial import by_rehearsal
from budwood.features.engines import preferred_specs, seconds_per_image
from budwood.features.extraction import Decoded, Unreadable, decoded, extract
from budwood.features.openvino import cpu_capabilities
from budwood.features.rows import IN_MEMORY
from budwood.features.verification import PROBES, verified_engine
from budwood.images.preprocessing import Preprocessing
from budwood.learning.optimizers import FusedOptimizer
from budwood.learning.regularisation import HELD_OUT
from budwood.learning.step_trials import FASTER
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
from budwood.surgery.stages import last_stage, stages_of
from budwood.surgery.torch_internals import tree_leaves

DECODING, RUNNING, STEPPING = 1.0, 2.5, 1.5
"""Seconds for decoding alone, for decoding with the network, and for the steps of a graft."""
BESIDES = 2.0
"""Seconds of what is not measured: the proof that what is frozen has not moved, and saving."""
ROWS = 2048
"""Rows of noise for a pass of the probe; passes over more take so many times as long."""
WIDEST = 1024
"""Features of which the axes are found; of more it takes the cube of the ratio."""
PASSES = 150
"""Passes over the rows until L2 strength and optimum are found: a typical number."""
FOLDS = 5
FEWEST = 2
"""Photos of the shortest step: batch normalisation needs two."""


@dataclass(frozen=True)
class CaptureTimes:
    """Seconds a photo on this machine, all cores together."""

    decoding: float
    running: float
    """Decoding and the network."""
    building: float
    """Seconds, once, for the engine and its verification."""
    images: int
    """Photos that were decoded."""
    unreadable: dict[Path, str]
    """Those of them that cannot be read, with the reason."""
    measuring: float
    """Seconds of the measurement, without building."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of a training step, and its memory."""

    image: float
    """Seconds for each photo of a batch, forwards and backwards."""
    step: float
    """Seconds for each batch besides: the optimizer."""
    forward: float
    """Seconds for a photo without gradients."""
    kept: int
    """Bytes of activations kept for the backward pass, for each photo of a batch."""
    alive: int
    """Bytes that are needed at once for each photo without gradients."""
    parameters: int
    """Bytes of what trains; gradients and moments take three times as much again."""
    measuring: float
    """Seconds of the measurement."""

    def training(self, images: int, epochs: int, batch: int) -> float:
        """Seconds of so many passes over so many photos."""
        steps = -(-images // batch)
        return epochs * (images * self.image + steps * self.step)


@dataclass(frozen=True)
class TimeForecast:
    """What one way of training will take."""

    trains: str
    """`head`, `last stage` or `whole network`."""
    unfreeze: tuple[str, ...]
    """What `--unfreeze` is given."""
    parameters: int
    """Parameters that train."""
    seconds: float
    """From the start of the command to its end."""
    memory_bytes: int
    """At the peak."""
    stored_bytes: int
    """Bytes that the feature store will take."""

    def after(self, seconds: float) -> "TimeForecast":
        """The same with what a command takes before it comes to the network."""
        return replace(self, seconds=self.seconds + seconds)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"unfreeze": list(self.unfreeze)}


def forecasts(
    model: str, classes: int, training: Sequence[Path], judged: int
) -> tuple[tuple[TimeForecast, ...], CaptureTimes, float]:
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
    trunk = forecaster.cut(trains=False).trunk
    forecaster.starting = time.perf_counter() - started
    times = capture_times(trunk, preprocessing_of(network), training)
    forecaster.memory = most_memory()
    found = [forecaster.head(times), *forecaster.last_stage(times)]
    # For the whole network, photos are only decoded once.
    found.append(forecaster.trained("whole network", ("*",), times.decoding, times, 2 * STEPPING))
    return tuple(found), times, times.measuring + forecaster.measuring


class _Forecaster:
    """One network and so many photos."""

    def __init__(self, network: nn.Module, classes: int, training: int, judged: int) -> None:
        self._network, self._classes = network, classes
        self._training, self._all = training, training + judged
        self._prepared = Prepared(network, preprocessing_of(network))
        self.starting = 0.0
        """Seconds until the network is built and cut."""
        self.memory = 0
        """Bytes, at the peak, when photos have gone through it."""
        self.measuring = 0.0
        """Seconds of training steps."""

    def head(self, times: CaptureTimes) -> TimeForecast:
        """Only the head trains, by logistic regression."""
        head = self.cut(trains=False)
        width = sum(torch.Size(tensor.shape).numel() for tensor in head.frontier)
        solving = probe_seconds(self._training, width, self._classes)
        seconds = times.building + self._all * times.running + solving
        kept = min(4 * width * self._training, KEPT_BYTES)
        return self._forecast("head", (), head, seconds, 2 * kept)

    def last_stage(self, times: CaptureTimes) -> Iterator[TimeForecast]:
        """The last stage and the head train; no forecast where the network has no stages."""
        height, width = self._prepared.preprocessing.size
        channels = len(self._prepared.preprocessing.mean)
        image = torch.zeros(1, height, width, channels, dtype=torch.uint8)
        try:
            stages = stages_of(self._prepared, image)
        except CutError:
            return
        share = stages.stages[-2].macs / stages.stages[-1].macs if len(stages.stages) > 1 else 0.0
        running = times.decoding + share * (times.running - times.decoding)
        yield self.trained("last stage", last_stage(stages), running, times, STEPPING)

    def trained(
        self, what: str, globs: tuple[str, ...], running: float, times: CaptureTimes, limit: float
    ) -> TimeForecast:
        """What these globs name trains, on rows that take `running` seconds a photo."""
        this = self.cut(*globs)
        usual = Training()
        step = step_times(this.graft, this.frontier, self._classes, usual.batch_size, limit)
        self.measuring += step.measuring
        # It is trained once more, on four photos in five.
        loop = 1.8 * step.training(self._training, usual.epochs, usual.batch_size)
        building = times.building if running > times.decoding else 0.0
        seconds = building + self._all * (running + step.forward) + loop
        # Rows are copied a few times, and gradients come beside the values.
        rows = 2 * min(this.row_bytes * self._training, IN_MEMORY)
        answered = min(self._training, 1024, EVALUATION_BYTES // this.row_bytes)
        values = max(1.25 * usual.batch_size * step.kept, 1.2 * answered * step.alive)
        memory = rows + 3 * step.parameters + int(values)
        return self._forecast(what, globs, this, seconds, memory)

    def _forecast(
        self, trains: str, globs: tuple[str, ...], this: Cut, seconds: float, memory: int
    ) -> TimeForecast:
        return TimeForecast(
            trains,
            globs,
            sum(p.numel() for p in self._network.parameters() if p.requires_grad),
            self.starting + seconds + BESIDES,
            self.memory + memory,
            this.row_bytes * self._all,
        )

    def cut(self, *globs: str, trains: bool = True) -> Cut:
        """The network cut where the head and what these globs name trains."""
        freeze(self._network, "*")
        unfreeze(self._network, *head_names(self._network), *globs)
        return cut(self._prepared.train(trains))


def capture_times(
    trunk: nn.Module, preprocessing: Preprocessing, paths: Sequence[Path]
) -> CaptureTimes:
    """Decode some photos, and run the network on some; nothing is stored."""
    unreadable: dict[Path, str] = {}
    # Any beginning of this order is spread evenly over the photos.
    order = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    started = time.perf_counter()
    first = list(_noting(decoded(order[:PROBES], preprocessing), unreadable))
    probe = [image.pixels for image in first if isinstance(image, Decoded)]
    if not probe:
        path, reason = next(iter(unreadable.items()))
        raise ImageError(
            f"None of {len(unreadable)} photos can be read, the first is {path}: {reason}",
            next="Copy the photos again.",
            file=path,
        )
    one = (time.perf_counter() - started) / len(probe)
    some = order[PROBES:][: int(DECODING / one)] or order
    decoding = _timed(deque, _noting(decoded(some, preprocessing), unreadable), 0) / len(some)
    began = time.perf_counter()
    specs = by_rehearsal(preferred_specs("auto", "cpu"))
    engine, _ = verified_engine(trunk, specs, np.stack(probe), SILENT)
    number = int(RUNNING / (decoding + seconds_per_image(engine, np.stack(probe))))
    sample = order[: max(PROBES, number)]
    building = time.perf_counter() - began
    rows = extract(decoded(sample, preprocessing), engine)
    running = _timed(deque, _noting(rows, unreadable), 0) / len(sample)
    measuring = time.perf_counter() - started - building
    return CaptureTimes(
        decoding, running, building, max(len(some), len(sample)), unreadable, measuring
    )


def _noting(things: Iterable[object], unreadable: dict[Path, str]) -> Iterator[object]:
    """The same, with what cannot be read written down."""
    for thing in things:
        if isinstance(thing, Unreadable):
            unreadable[thing.path] = thing.reason
        yield thing


def probe_seconds(images: int, width: int, classes: int) -> float:
    """Seconds that `fit_probe` takes for so many photos of so many features and classes."""
    m = min(images, width)
    rows, folds = min(images, ROWS), min(FOLDS, max(1, -(-HELD_OUT * FOLDS // images)))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, m, generator=generator)
    w = torch.randn(folds * classes, m, generator=generator)
    narrow = x[:, :WIDEST]

    def pass_over_rows() -> None:
        (w @ x.T).log_softmax(0).exp_() @ x

    pass_over_rows()
    one = _timed(pass_over_rows) * images / rows
    axes = _timed(torch.linalg.eigh, narrow.T @ narrow) * (m / narrow.shape[1]) ** 3
    return PASSES * one + axes


def step_times(
    graft: nn.Module, frontier: Sequence[FrontierTensor], classes: int, batch: int, limit: float
) -> StepTimes:
    """Time forward and backward passes of a graft that is in train mode, and a step of AdamW.

    Where a batch would take longer than `limit` seconds a smaller one is timed. Convolutions are
    timed in bf16 too, which the loop uses where it is clearly faster. The graft's weights change.
    """
    started = time.perf_counter()
    parameters = [p for p in graft.parameters() if p.requires_grad]
    optimizer = FusedOptimizer(parameters, "adamw", 0.01)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        rows, labels = _noise(frontier, FEWEST), torch.randint(classes, (FEWEST,))
        kept = _kept(graft, rows, labels, parameters)  # this first pass also pays for memory
        once = _timed(_pass, graft, rows, labels)
        image, overhead = once / FEWEST, 0.0
        size = max(FEWEST, min(batch, int(FEWEST * limit / (4 * once))))
        if size > FEWEST:
            rows, labels = _noise(frontier, size), torch.randint(classes, (size,))
            image, overhead = _pass_times(graft, rows, labels, limit / 2, bf16=False)
            whole = overhead + size * image
            has_convolutions = any(p.dim() > 2 for p in parameters)
            if has_convolutions and whole < limit / 3 and "BF16" in cpu_capabilities():
                fast = _pass_times(graft, rows, labels, limit / 2, bf16=True)
                if fast[1] + batch * fast[0] <= FASTER * (overhead + batch * image):
                    image, overhead = fast
        optimizer.step(1e-6)  # makes its moments
        step = overhead + _least(limit / 8, optimizer.step, 1e-6)
        graft.eval()
        with torch.inference_mode(), _largest_layer(graft) as most:
            forward = _timed(graft, rows) / size
        graft.train()
    optimizer.zero_grad()
    return StepTimes(
        image,
        step,
        forward,
        kept // FEWEST,
        most[0] // size,
        sum(p.numel() * p.element_size() for p in parameters),
        time.perf_counter() - started,
    )


def _pass_times(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, limit: float, bf16: bool
) -> tuple[float, float]:
    """Seconds of a pass for each photo, and besides: from one over few and one over all."""
    few, size = tuple(tensor[:FEWEST] for tensor in rows), len(labels)
    _pass(graft, few, labels[:FEWEST], bf16)  # the first pays for memory and choices
    short = _least(limit / 4, _pass, graft, few, labels[:FEWEST], bf16)
    long = _least(limit / 2, _pass, graft, rows, labels, bf16)
    image = min(max((long - short) / (size - FEWEST), 0.2 * long / size), long / size)
    return image, long - size * image


def _pass(graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, bf16: bool = False) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = total_loss(graft(rows), labels)
    loss.backward()  # type: ignore[no-untyped-call]


def _kept(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Tensor, parameters: Sequence[Tensor]
) -> int:
    """Bytes that a forward pass keeps for the backward pass, without weights."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _pass(graft, rows, labels)
    return sum(storages.values())


@contextmanager
def _largest_layer(graft: nn.Module) -> Iterator[list[int]]:
    """The most bytes that a layer takes in and gives out; known at the end."""
    most = [0]

    def see(layer: nn.Module, inputs: object, output: object) -> None:
        tensors = [leaf for leaf in tree_leaves((inputs, output)) if isinstance(leaf, Tensor)]
        most[0] = max(most[0], sum(t.numel() * t.element_size() for t in tensors))

    layers = [m for m in graft.modules() if not any(True for _ in m.children())]
    handles = [layer.register_forward_hook(see) for layer in layers]
    try:
        yield most
    finally:
        for handle in handles:
            handle.remove()


def _noise(frontier: Sequence[FrontierTensor], images: int) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(images, *tensor.shape).to(tensor.dtype)
        if tensor.dtype.is_floating_point
        else torch.randint(256, (images, *tensor.shape), dtype=tensor.dtype)
        for tensor in frontier
    )


def _least(limit: float, do: Callable[..., object], *given: object) -> float:
    """The least of up to three times, since machines are shared; one, if it takes that long."""
    took = [_timed(do, *given)]
    while len(took) < 3 and sum(took) + min(took) < limit:
        took.append(_timed(do, *given))
    return min(took)


def _timed(do: Callable[..., object], *given: object) -> float:
    started = time.perf_counter()
    do(*given)
    return time.perf_counter() - started
