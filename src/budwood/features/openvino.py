"""The OpenVINO engine: a trunk compiled for the CPU, several batches in flight.

The trunk is converted through OpenVINO's PyTorch frontend itself, not through its `convert_model`
front door, which reports usage over the network unless the user has opted out.
"""

import logging
import warnings
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from budwood.arrays import Pixels
from budwood.errors import EngineError
from budwood.features.engines import EngineSpec, Rows
from budwood.features.untracked import FrontEndManager, TorchScriptPythonDecoder, ov

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVINOEngine:
    """Runs a trunk compiled by OpenVINO on the CPU."""

    def __init__(self, trunk: nn.Module, spec: EngineSpec, example: Pixels) -> None:
        self.spec = spec
        try:
            self._compiled = _core().compile_model(
                _converted(trunk, example),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[spec.precision],
                    "PERFORMANCE_HINT": "THROUGHPUT",
                },
            )
        except Exception as problem:  # its converter raises nearly every class there is
            lines = str(problem).split("\n")
            reason = next((line for line in reversed(lines) if line.strip(" -")), repr(problem))
            raise EngineError(f"OpenVINO cannot run this trunk: {reason.strip(' -')}.") from problem
        count = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self._compiled.create_infer_request() for _ in range(count)]

    def run(self, pixels: Pixels) -> Rows:
        """The frontier of one batch, `n ...` each."""
        self._start(self._requests[0], pixels)
        return self._finish(self._requests[0])

    def stream(
        self, batches: Iterable[tuple[Any, Pixels]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """Keeps every request busy; results come in order."""
        free = deque(self._requests)
        under_way: deque[tuple[Any, ov.InferRequest]] = deque()
        try:
            for tag, pixels in batches:
                request = free.popleft()
                self._start(request, pixels)
                under_way.append((tag, request))
                while under_way and (not free or under_way[0][1].wait_for(0)):
                    tag, request = under_way.popleft()
                    rows = self._finish(request)
                    free.append(request)
                    yield tag, rows
            while under_way:
                tag, request = under_way.popleft()
                yield tag, self._finish(request)
        finally:
            for _, request in under_way:
                request.cancel()
            for _, request in under_way:
                with suppress(RuntimeError):  # how a cancelled request ends
                    request.wait()

    def _start(self, request: ov.InferRequest, pixels: Pixels) -> None:
        # share_inputs=False copies: a request reads, and may overwrite, the memory it is given.
        request.start_async({0: pixels}, share_inputs=False)

    def _finish(self, request: ov.InferRequest) -> Rows:
        request.wait()
        outputs = range(len(self._compiled.outputs))  # by index: two may have the same shape
        return tuple(np.array(request.get_output_tensor(i).data) for i in outputs)


@cache
def cpu_capabilities() -> tuple[str, ...]:
    """What OpenVINO says this processor can do, for example "BF16" and "INT8"."""
    return tuple(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@cache
def _core() -> ov.Core:
    return ov.Core()


def _converted(trunk: nn.Module, example: Pixels) -> ov.Model:
    """The trunk as an OpenVINO model, its batch size left open."""
    pixels = torch.from_numpy(example[:1].copy())
    quiet = logging.getLogger("openvino.frontend.pytorch.ts_decoder")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # OpenVINO's decoder uses torch.jit.trace, which torch 2.14 calls deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated")
            warnings.filterwarnings("ignore", category=TracerWarning)
            decoder = TorchScriptPythonDecoder(trunk, example_input=(pixels,))
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
        model.reshape({0: ov.PartialShape([-1, *pixels.shape[1:]])})
    finally:
        quiet.setLevel(level)
    return model
