"""The OpenVINO engine: a converted trunk compiled for the CPU, several batches in flight."""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, Literal

import numpy as np

from budwood.errors import EngineError
from budwood.features.engines import Batch, EngineSpec, Rows
from budwood.features.untracked import ov

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINOEngine:
    """Runs a trunk compiled by OpenVINO on the CPU."""

    def __init__(self, model: ov.Model, spec: EngineSpec, *, latency: bool = False) -> None:
        """Compile.

        Args:
            model: A converted trunk.
            spec: Its arithmetic.
            latency: For a few photos: all cores work on one batch at a time.

        Raises:
            EngineError: If OpenVINO cannot compile it.
        """
        self.spec = spec
        try:
            self._compiled = core().compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[
                        beside_int8() if spec.precision == "int8" else spec.precision
                    ],
                    "PERFORMANCE_HINT": "LATENCY" if latency else "THROUGHPUT",
                },
            )
        except RuntimeError as problem:
            reason = str(problem).strip().splitlines()[-1].strip(" -")
            raise EngineError(f"OpenVINO cannot compile this trunk: {reason}.") from problem
        count = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [_Request(self._compiled) for _ in range(count)]

    def run(self, photos: Batch) -> Rows:
        """The frontier of one batch, `n ...` each."""
        self._requests[0].start(photos)
        return self._requests[0].finish()

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """Keeps every request busy; results come in order."""
        free = deque(self._requests)
        under_way: deque[tuple[Any, _Request]] = deque()
        try:
            for tag, photos in batches:
                request = free.popleft()
                request.start(photos)
                under_way.append((tag, request))
                while under_way and (not free or under_way[0][1].is_done()):
                    tag, request = under_way.popleft()
                    rows = request.finish()
                    free.append(request)
                    yield tag, rows
            while under_way:
                tag, request = under_way.popleft()
                yield tag, request.finish()
        finally:
            for _, request in under_way:
                request.cancel()
            for _, request in under_way:
                with suppress(RuntimeError):  # how a cancelled request ends
                    request.finish()


class _Request:
    """One batch in flight, with input memory of its own that photos are copied into once."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._outputs = len(compiled.outputs)
        self._room = np.empty(0, np.uint8)

    def start(self, photos: Batch) -> None:
        shape = (len(photos), *photos[0].shape)
        if self._room.shape[1:] != shape[1:] or len(self._room) < len(photos):
            self._room = np.empty(shape, np.uint8)
        batch = self._room[: len(photos)]
        for target, photo in zip(batch, photos, strict=True):
            target[...] = photo
        self._request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        self._request.start_async()

    def is_done(self) -> bool:
        return bool(self._request.wait_for(0))

    def cancel(self) -> None:
        self._request.cancel()

    def finish(self) -> Rows:
        self._request.wait()
        outputs = range(self._outputs)  # by index: two may have the same shape
        return tuple(np.array(self._request.get_output_tensor(i).data) for i in outputs)


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


@cache
def core() -> ov.Core:
    """The one core of this process."""
    return ov.Core()
