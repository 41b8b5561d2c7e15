"""The OpenVINO engine: a trunk converted once, compiled for the CPU, several batches in flight.

`import openvino` alone reports to its maker over the network and writes to `~/intel`, and so does
`convert_model`: the reporting package is hidden, and a trunk goes through the PyTorch frontend.
"""

import logging
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from budwood.arrays import Pixels
from budwood.errors import EngineError
from budwood.features.engines import (
    BATCH,
    REHEARSED,
    REHEARSED_LAYERS,
    Batch,
    Engine,
    EngineSpec,
    Precision,
    Rows,
    rehearsed,
)
from budwood.features.trunks import discard, keep_trunk, kept_file
from budwood.machine import cores, processors
from budwood.threads import TRACING, Lock, never_destroyed_in_forks, settle_torch

if TYPE_CHECKING:
    from torch import nn

IN_FLIGHT = 2
"""Batches for each that the processor works on at once: the next one lies ready when it ends."""
MODEL, WEIGHTS = "model.xml", "model.bin"
"""A converted trunk in its folder, and its weights."""
LIGHT = 5e11
"""Parameters times pixels of an image up to which a network is light: one image at a time stays in
the cache, and is up to a quarter faster than four; a heavy network reads its weights less often
with four."""
LIGHT_BATCHES, HEAVY_BATCHES = (1, 4), (4, 1, 8)
"""Images at a time, the usual number first, then what a trial may find faster."""
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """While this lasts, importing a module fails as if it were not installed."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    known = {name: modules[name]} if name in modules else {}
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
        modules.update(known)


@contextmanager
def untracked() -> Iterator[None]:
    """While this lasts, a package that is imported finds nothing to report its use with."""
    with TRACING, _absent("openvino_telemetry"):
        yield


with untracked():
    import openvino as ov

__all__ = ["OpenVINO", "OpenVINOEngine", "converted", "ov", "untracked"]


class OpenVINO:
    """What OpenVINO offers as an engine."""

    def version(self) -> str:
        return version("openvino")

    def hardware(self) -> str:
        return processor()

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """On the processor only; int8 has an entrance of its own, see `int8.py`."""
        return ("bf16", "fp32") if device == "cpu" else ()

    def refusal(self, spec: EngineSpec) -> str:
        lacks = spec.precision == "bf16" and "BF16" not in cpu_capabilities()
        return "this processor has no bf16 arithmetic" if lacks else ""

    def rehearse(self, spec: EngineSpec) -> float:
        """Some convolutions of the kinds that networks consist of."""
        engine = OpenVINOEngine(_convolutions(), replace(spec, batch=BATCH))
        return rehearsed(lambda: engine.run(REHEARSED))

    def build(
        self, trunk: "nn.Module", spec: EngineSpec, example: Pixels, key: str | None
    ) -> Engine:
        """Converted, unless it is kept, and compiled."""
        return OpenVINOEngine(converted(trunk, example, key), spec)

    def kept(self, key: str, spec: EngineSpec, few: int | None) -> Engine | None:
        """Compiled from what is kept; for a few images all cores work on one batch at a time."""
        model = kept_model(key)
        if model is None:
            return None
        if few is None:
            return OpenVINOEngine(model, spec)
        return OpenVINOEngine(model, replace(spec, batch=min(few, BATCH)), latency=True)


class OpenVINOEngine:
    """Runs a trunk compiled by OpenVINO on the CPU, for batches of one size (a tenth faster)."""

    def __init__(self, model: ov.Model, spec: EngineSpec, *, latency: bool = False) -> None:
        usual, *others = LIGHT_BATCHES if _is_light(model) else HEAVY_BATCHES
        self.spec, self.batch = spec, spec.batch or usual
        self.other_batches = tuple(others)
        self._model, self._latency = model, latency
        self._lock = Lock()
        started = time.perf_counter()
        self._compiled = _Graph(model, spec, self.batch, latency)
        self.seconds_to_build = time.perf_counter() - started

    def run(self, images: Batch) -> Rows:
        parts = [images[i : i + self.batch] for i in range(0, len(images), self.batch)]
        results = [rows for _, rows in self.stream((None, part) for part in parts)]
        return tuple(np.concatenate(tensor) for tensor in zip(*results, strict=True))

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """Keeps the processor busy; results come in order."""
        under_way: deque[tuple[Any, _Request]] = deque()
        graph = self._graph()
        try:
            for tag, images in batches:
                under_way.append((tag, graph.start(images)))
                while under_way and (len(under_way) == graph.room or under_way[0][1].is_done()):
                    tag, request = under_way.popleft()
                    yield tag, graph.finish(request)
            while under_way:
                tag, request = under_way.popleft()
                yield tag, graph.finish(request)
        finally:
            for _, request in under_way:
                request.cancel()
            for _, request in under_way:
                with suppress(RuntimeError):  # how a cancelled request ends
                    graph.finish(request)

    def _graph(self) -> "_Graph":
        """The trunk compiled in this process."""
        with self._lock:
            if self._compiled.process != os.getpid():
                self._compiled = _Graph(self._model, self.spec, self.batch, self._latency)
            return self._compiled


class _Graph:
    """A trunk compiled for batches of one size."""

    def __init__(self, model: ov.Model, spec: EngineSpec, batch: int, latency: bool) -> None:
        precision = beside_int8() if spec.precision == "int8" else spec.precision
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY" if latency else "THROUGHPUT",
        }
        if cores() < processors():  # it does not know how much time a container is given
            settings["INFERENCE_NUM_THREADS"] = cores()
        model = model.clone()
        model.reshape({0: ov.PartialShape([batch, *model.inputs[0].partial_shape[1:]])})
        try:
            compiled = core().compile_model(model, "CPU", settings)
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1].strip(" -")
            raise EngineError(f"OpenVINO cannot compile this trunk: {reason}.") from problem
        self.room = IN_FLIGHT * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        """Batches that each stream may have under way."""
        self.process = os.getpid()
        self._batch, self._compiled = batch, compiled
        self._requests: list[_Request] = []
        self._free: deque[_Request] = deque()
        never_destroyed_in_forks(self)

    def start(self, images: Batch) -> "_Request":
        """Send a batch on its way."""
        try:
            request = self._free.pop()
        except IndexError:
            request = _Request(self._compiled, self._batch)
            self._requests.append(request)
        request.start(images)
        return request

    def finish(self, request: "_Request") -> Rows:
        """Wait for a batch; its rows."""
        try:
            return request.finish()
        finally:
            self._free.append(request)


class _Request:
    """One batch in flight, with input memory of its own that images are copied into once."""

    def __init__(self, compiled: ov.CompiledModel, batch: int) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)
        self._room = np.empty((batch, 0), np.uint8)
        self._images = 0

    def start(self, images: Batch) -> None:
        """Begin with a batch that is filled up with what was there before."""
        if self._room.shape[1:] != images[0].shape:
            self._room = np.zeros((len(self._room), *images[0].shape), np.uint8)
        for target, image in zip(self._room[: len(images)], images, strict=True):
            target[...] = image
        self._images = len(images)
        self._request.set_input_tensor(ov.Tensor(self._room, shared_memory=True))
        self._request.start_async()

    def is_done(self) -> bool:
        return bool(self._request.wait_for(0))

    def cancel(self) -> None:
        self._request.cancel()

    def finish(self) -> Rows:
        """Wait for the batch; its rows, without those that only filled it up."""
        self._request.wait()
        outputs = (self._request.get_output_tensor(i).data for i in range(self._outputs))
        return tuple(np.array(rows[: self._images]) for rows in outputs)


def converted(trunk: "nn.Module", example: Pixels, key: str | None = None) -> ov.Model:
    """The trunk as an OpenVINO model, its batch size left open."""
    if key is not None and (kept := kept_model(key)) is not None:
        return kept
    try:
        model = _convert(trunk, example)
    except Exception as problem:  # its converter raises nearly every class there is
        raise EngineError(f"OpenVINO cannot run this trunk: {reason(problem)}.") from problem
    return model if key is None else keep_model(key, model)


def reason(problem: Exception) -> str:
    """What a message of many lines comes to: its last one."""
    lines = str(problem).split("\n")
    return next((line for line in reversed(lines) if line.strip(" -")), repr(problem)).strip(" -")


def kept_model(key: str) -> ov.Model | None:
    """The model that is kept under this key; None if there is none that can be read."""
    file = kept_file(key, MODEL)
    try:
        return None if file is None else core().read_model(file)
    except RuntimeError as problem:
        assert file is not None
        discard(file, problem)
        return None


def model_bytes(key: str) -> tuple[bytes, bytes] | None:
    """The two files of the model that is kept under this key: graph and weights."""
    graph, weights = kept_file(key, MODEL), kept_file(key, WEIGHTS)
    if graph is None or weights is None:
        return None
    return graph.read_bytes(), weights.read_bytes()


def model_of(key: str, graph: bytes, weights: bytes) -> ov.Model:
    """The model in the bytes of its two files, which are kept under this key if that can be.

    Raises:
        EngineError: If they are no model.
    """

    def write(part: Path) -> None:
        (part / MODEL).write_bytes(graph)
        (part / WEIGHTS).write_bytes(weights)

    if not graph.startswith(b"<?xml") or not weights:  # else each of its readers would have a try
        raise EngineError("The trunk in int8 is none that OpenVINO wrote.")
    try:
        model = core().read_model(graph, ov.Tensor(np.frombuffer(weights, np.uint8)))
    except RuntimeError as problem:
        raise EngineError(f"OpenVINO cannot read the trunk: {reason(problem)}.") from problem
    return (kept_model(key) if keep_trunk(key, write) else None) or model


def keep_model(key: str, model: ov.Model) -> ov.Model:
    """Keep a model, and give it back as it will be read next time: writing a graph tidies it up."""
    is_kept = keep_trunk(key, lambda part: ov.save_model(model, part / MODEL, False))
    return (kept_model(key) if is_kept else None) or model


def _convert(trunk: "nn.Module", example: Pixels) -> ov.Model:
    import torch
    from torch.jit._trace import TracerWarning

    with untracked():
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
    settle_torch()
    pixels = torch.from_numpy(example[:1].copy())
    quiet = logging.getLogger("openvino.frontend.pytorch.ts_decoder")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with TRACING, warnings.catch_warnings(), torch.no_grad():
            # OpenVINO's decoder uses torch.jit.trace, which torch 2.14 calls deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated")
            warnings.filterwarnings("ignore", category=TracerWarning)
            # Tracing it again to compare takes as long, and says less than verification does.
            unchecked = {"check_trace": False}
            traced = TorchScriptPythonDecoder(
                trunk, example_input=(pixels,), trace_kwargs=unchecked
            )
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(traced))
        model.reshape({0: ov.PartialShape([-1, *pixels.shape[1:]])})
    finally:
        quiet.setLevel(level)
    return model


def _is_light(model: ov.Model) -> bool:
    """True if one image at a time fits the cache better than a batch."""
    constants = (node for node in model.get_ops() if node.get_type_name() == "Constant")
    height, width = (side.get_length() for side in list(model.inputs[0].partial_shape)[1:3])
    return bool(sum(prod(node.shape) for node in constants) * height * width <= LIGHT)


def _convolutions() -> ov.Model:
    """The small network of `engines.REHEARSED_LAYERS`."""
    from openvino import opset13 as ops

    chance = np.random.default_rng(0)
    image = ops.parameter([-1, *REHEARSED.shape[1:]], np.uint8)
    found = ops.transpose(ops.convert(image, "f32"), ops.constant([0, 3, 1, 2]))

    def convolved(x: Any, entering: int, leaving: int, width: int, groups: int = 1) -> Any:
        shape = [leaving, entering, width, width]
        if groups > 1:
            shape = [groups, 1, 1, width, width]
        weights = ops.constant(chance.standard_normal(shape).astype(np.float32) / 10)
        convolve = ops.convolution if groups == 1 else ops.group_convolution
        pad = [width // 2] * 2
        return ops.relu(convolve(x, weights, [1, 1], pad, pad, [1, 1]))

    for layer in REHEARSED_LAYERS:
        found = convolved(found, *layer)
    return ov.Model([ops.reduce_mean(found, ops.constant([2, 3]))], [image])


def beside_int8() -> Literal["bf16", "fp32"]:
    """The precision of what does not run in int8 in a trunk that is quantised."""
    return "bf16" if "BF16" in cpu_capabilities() else "fp32"


@cache
def cpu_capabilities() -> tuple[str, ...]:
    """What OpenVINO says this processor can do, for example "BF16" and "INT8"."""
    return tuple(core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@cache
def processor() -> str:
    """This processor and what it can do; on another one an engine may round otherwise."""
    name = core().get_property("CPU", "FULL_DEVICE_NAME")
    return f"{name} {' '.join(cpu_capabilities())}"


def core() -> ov.Core:
    """The one core of this process."""
    with _starting:
        return _core(os.getpid())


_starting = Lock()


@cache
def _core(process: int) -> ov.Core:
    return never_destroyed_in_forks(ov.Core())
