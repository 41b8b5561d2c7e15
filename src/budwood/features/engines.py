"""Engines run a trunk over batches of pixels; this is what they promise, and torch's own."""

import copy
from collections.abc import Generator, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.arrays import Pixels
from budwood.errors import ConfigError

Precision = Literal["fp32", "bf16"]
Rows = tuple[NDArray[Any], ...]
"""One array `n ...` for each tensor of the frontier."""


@dataclass(frozen=True)
class EngineSpec:
    """Which library runs the trunk, and in which arithmetic."""

    library: Literal["torch", "openvino"]
    precision: Precision
    device: str = "cpu"

    @property
    def key(self) -> str:
        """What the stored rows depend on: another version of the library makes other rows."""
        return f"{self.library} {_version(self.library)} {self.precision} {self.device}"

    def __str__(self) -> str:
        place = "" if self.device == "cpu" else f" on {self.device}"
        return f"{self.library} {self.precision}{place}"


class Engine(Protocol):
    """Runs one trunk. Inputs are never written to."""

    spec: EngineSpec

    def run(self, pixels: Pixels) -> Rows:
        """The frontier of one batch."""

    def stream(
        self, batches: Iterable[tuple[Any, Pixels]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """The frontier of each batch with the batch's tag, in order, overlapped where possible."""


class TorchEngine:
    """Runs a trunk in torch: the reference in fp32 on the CPU, and the engine of a GPU.

    CUDA and MPS are written from the documentation and have not been measured.
    """

    def __init__(self, trunk: nn.Module, spec: EngineSpec) -> None:
        self.spec = spec
        self._trunk = trunk.eval() if spec.device == "cpu" else _moved(trunk, spec.device)

    def run(self, pixels: Pixels) -> Rows:
        """The frontier of one batch, `n ...` each."""
        # A copy: a trunk may hand its input on as it is, and the caller keeps its array.
        batch = torch.from_numpy(pixels.copy()).to(self.spec.device)
        with torch.inference_mode(), self._arithmetic():
            rows = self._trunk(batch)
        return tuple(_plain(row) for row in rows)

    def stream(
        self, batches: Iterable[tuple[Any, Pixels]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """One batch after the other; decoding goes on in other threads meanwhile."""
        for tag, pixels in batches:
            yield tag, self.run(pixels)

    def _arithmetic(self) -> Any:
        if self.spec.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.spec.device.partition(":")[0], torch.bfloat16)


def preferred_specs(precision: str, device: str, network_runs: bool = True) -> list[EngineSpec]:
    """The engines to try, best first, for `--precision` and `--device`.

    Args:
        precision: "auto" takes bf16 where the processor multiplies in bf16, else fp32.
        device: "cpu", "cuda", "cuda:1", "mps".
        network_runs: False if the trunk hands the pixels on untouched: nothing to speed up.

    Raises:
        ConfigError: If the precision or the device does not exist here.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise ConfigError(f"No precision is called {precision!r}.", expected="auto, fp32 or bf16.")
    plain = EngineSpec("torch", "fp32", device)
    if device != "cpu":
        _require_device(device)
        fast = EngineSpec("torch", "bf16", device)
        cuda = device.startswith("cuda")
        return [fast, plain] if precision == "bf16" or (precision == "auto" and cuda) else [plain]
    if not network_runs:
        return [plain]
    has_bf16 = _cpu_has_bf16()
    if precision == "bf16" and not has_bf16:
        raise ConfigError(
            "This processor has no bf16 arithmetic.", next="Use --precision auto or fp32."
        )
    fp32 = [EngineSpec("openvino", "fp32"), plain]
    return fp32 if precision == "fp32" or not has_bf16 else [EngineSpec("openvino", "bf16"), *fp32]


def build_engine(trunk: nn.Module, spec: EngineSpec, example: Pixels) -> Engine:
    """The engine that runs this trunk as `spec` says.

    Args:
        trunk: Pixels `n h w c` to a tuple of tensors.
        spec: Library, precision and device.
        example: One photo, `1 h w c`.

    Raises:
        EngineError: If the library cannot take this trunk.
    """
    if spec.library == "torch":
        return TorchEngine(trunk, spec)
    from budwood.features.openvino import OpenVINOEngine

    return OpenVINOEngine(trunk, spec, example)


def _plain(row: torch.Tensor) -> NDArray[Any]:
    row = row.float() if row.is_floating_point() else row
    return np.ascontiguousarray(row.cpu().numpy())


def _moved(trunk: nn.Module, device: str) -> nn.Module:
    return copy.deepcopy(trunk).to(device).eval()


def _version(library: str) -> str:
    return version(library)


def _cpu_has_bf16() -> bool:
    from budwood.features.openvino import cpu_capabilities

    return "BF16" in cpu_capabilities()


def _require_device(device: str) -> None:
    kind = device.partition(":")[0]
    if kind not in ("cuda", "mps"):
        raise ConfigError(f"No device is called {device!r}.", expected="cpu, cuda or mps.")
    is_there = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not is_there:
        raise ConfigError(f"torch finds no {kind} device here.", next="Use --device cpu.")
