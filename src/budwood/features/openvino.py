"""The OpenVINO engine: a converted trunk compiled for the CPU, several batches in flight.

Threads may share an engine: each stream has requests of its own. In a forked process OpenVINO's
threads are gone, and what would wait for them is left alone there and compiled anew.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, Literal

import numpy as np

from budwood.errors import EngineError
from budwood.features.engines import Batch, EngineSpec, Rows
from budwood.features.untracked import ov
from budwood.machine import cores, processors
from budwood.threads import Lock, never_destroyed_in_forks

IN_FLIGHT = 2
"""Batches for each that the processor works on at once: the next one lies ready when it ends."""
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINOEngine:
    """Runs a trunk compiled by OpenVINO on the CPU.

    A graph for batches of one size is up to a tenth faster than one for any. Shorter batches are
    filled up, longer ones go through a graph for any size, compiled when it is needed.
    """

    def __init__(
        self, model: ov.Model, spec: EngineSpec, *, batch: int | None = None, latency: bool = False
    ) -> None:
        """Compile.

        Args:
            model: A converted trunk.
            spec: Its arithmetic.
            batch: As in `expect`.
            latency: For a few photos: all cores work on one batch at a time.

        Raises:
            EngineError: If OpenVINO cannot compile it.
        """
        self.spec = spec
        self._model, self._latency = model, latency
        self._graphs: dict[int | None, _Graph] = {}
        self._lock = Lock()
        self._streams = 0
        self._batch = batch
        self.expect(batch)

    def expect(self, batch: int | None) -> None:
        """Be ready for batches of that many photos and less; None: of any number."""
        with self._lock:
            self._batch = batch
            if batch is not None and self._streams <= 1:  # the memory of others is given back
                self._graphs = {size: it for size, it in self._graphs.items() if size == batch}
            self._graph(batch)

    def run(self, photos: Batch) -> Rows:
        """The frontier of one batch, `n ...` each."""
        size = self._batch or len(photos)
        parts = [photos[i : i + size] for i in range(0, len(photos), size)]
        results = [rows for _, rows in self.stream((None, part) for part in parts)]
        return tuple(np.concatenate(tensor) for tensor in zip(*results, strict=True))

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """Keeps the processor busy; results come in order."""
        under_way: deque[tuple[Any, _Graph, _Request]] = deque()
        self._count(1)
        try:
            for tag, photos in batches:
                graph = self._graph_for(len(photos))
                under_way.append((tag, graph, graph.start(photos)))
                while under_way and (len(under_way) == graph.room or under_way[0][2].is_done()):
                    tag, its_graph, request = under_way.popleft()
                    yield tag, its_graph.finish(request)
            while under_way:
                tag, graph, request = under_way.popleft()
                yield tag, graph.finish(request)
        finally:
            self._count(-1)
            for _, _, request in under_way:
                request.cancel()
            for _, graph, request in under_way:
                with suppress(RuntimeError):  # how a cancelled request ends
                    graph.finish(request)

    def _count(self, streams: int) -> None:
        with self._lock:
            self._streams += streams

    def _graph_for(self, photos: int) -> "_Graph":
        """A graph that is ready for so many; another thread may expect batches of another size."""
        with self._lock:
            sizes = [n for n in self._graphs if n is not None and n >= photos]
            if self._batch is None or self._batch in sizes:
                return self._graph(self._batch)
            return self._graph(min(sizes, default=None))

    def _graph(self, size: int | None) -> "_Graph":
        with self._lock:
            if size not in self._graphs or self._graphs[size].process != os.getpid():
                self._graphs[size] = _Graph(self._model, self.spec, size, self._latency)
            return self._graphs[size]


class _Graph:
    """A trunk compiled for batches of one size, or of any."""

    def __init__(self, model: ov.Model, spec: EngineSpec, size: int | None, latency: bool) -> None:
        precision = beside_int8() if spec.precision == "int8" else spec.precision
        settings: dict[str, str | int] = {
            "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY" if latency else "THROUGHPUT",
        }
        if cores() < processors():  # it does not know how much time a container is given
            settings["INFERENCE_NUM_THREADS"] = cores()
        if size is not None:
            model = model.clone()
            model.reshape({0: ov.PartialShape([size, *model.inputs[0].partial_shape[1:]])})
        try:
            compiled = core().compile_model(model, "CPU", settings)
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1].strip(" -")
            raise EngineError(f"OpenVINO cannot compile this trunk: {reason}.") from problem
        self.room = IN_FLIGHT * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        """Batches that each stream may have under way."""
        self.process = os.getpid()
        self._size, self._compiled = size, compiled
        self._requests: list[_Request] = []
        self._free: deque[_Request] = deque()
        never_destroyed_in_forks(self)

    def start(self, photos: Batch) -> "_Request":
        """Send a batch on its way."""
        try:
            request = self._free.pop()
        except IndexError:
            request = _Request(self._compiled)
            self._requests.append(request)
        request.start(photos, self._size or len(photos))
        return request

    def finish(self, request: "_Request") -> Rows:
        """Wait for a batch; its rows."""
        try:
            return request.finish()
        finally:
            self._free.append(request)


class _Request:
    """One batch in flight, with input memory of its own that photos are copied into once."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)
        self._room = np.empty(0, np.uint8)
        self._photos = 0

    def start(self, photos: Batch, size: int) -> None:
        """Begin with a batch that is filled up to `size`, with what was there before."""
        shape = (size, *photos[0].shape)
        if self._room.shape[1:] != shape[1:] or len(self._room) < size:
            self._room = np.zeros(shape, np.uint8)
        batch = self._room[:size]
        for target, photo in zip(batch, photos, strict=False):
            target[...] = photo
        self._photos = len(photos)
        self._request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        self._request.start_async()

    def is_done(self) -> bool:
        """True if the batch is through."""
        return bool(self._request.wait_for(0))

    def cancel(self) -> None:
        """Do not go on with it."""
        self._request.cancel()

    def finish(self) -> Rows:
        """Wait for the batch; its rows, without those that only filled it up."""
        self._request.wait()
        outputs = (self._request.get_output_tensor(i).data for i in range(self._outputs))
        return tuple(np.array(rows[: self._photos]) for rows in outputs)


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
