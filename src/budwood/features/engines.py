"""Engines run a trunk over batches of pixels; this is what they promise, and which are tried."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "bf16", "int8"]
Rows = tuple[NDArray[Any], ...]
"""One array `n ...` for each tensor of the frontier."""
Batch = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""Photos `h w c` of one size, one after the other."""
QUICK_BATCH, SLOW_BATCH = 1, 4
"""Photos in a batch, until it is known which number is best here. A network of many weights is
faster on several photos: they share the reading. Of a quick one the values of more than one photo
leave the cache."""


@displayed
@dataclass(frozen=True)
class EngineSpec:
    """Which library runs the trunk, and in which arithmetic."""

    library: Literal["torch", "openvino"]
    precision: Precision
    device: str = "cpu"
    calibration: str = ""
    """What the scales of int8 were taken from, and by what."""

    @property
    def key(self) -> str:
        """What the stored rows depend on: another version of the library makes other rows."""
        parts = (self.library, _version(self.library), self.precision, self.device)
        return " ".join((*parts, self.calibration) if self.calibration else parts)

    def __str__(self) -> str:
        place = "" if self.device == "cpu" else f" on {self.device}"
        return f"{self.library} {self.precision}{place}"


class Engine(Protocol):
    """Runs one trunk. Inputs are never written to."""

    spec: EngineSpec

    def expect(self, batch: int | None) -> None:
        """Be ready for batches of that many photos, the last one perhaps of fewer; None: of any
        number."""

    def run(self, photos: Batch) -> Rows:
        """The frontier of one batch."""

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """The frontier of each batch with the batch's tag, in order, overlapped where possible."""


def preferred_specs(precision: str, device: str, network_runs: bool = True) -> list[EngineSpec]:
    """The engines to try, best first, for `--precision` and `--device`.

    Args:
        precision: "auto" takes bf16 where the processor multiplies in bf16, else fp32. "int8" gives
            the same: those are what int8 is held against, and what runs if it is refused.
        device: "cpu", "cuda", "cuda:1", "mps".
        network_runs: False if the trunk hands the pixels on untouched: nothing to speed up.

    Raises:
        ConfigError: If the precision or the device does not exist here, or int8 or a GPU has
            nothing to run.
    """
    if precision not in ("auto", "fp32", "bf16", "int8"):
        raise ConfigError(
            f"No precision is called {precision!r}.", expected="auto, fp32, bf16 or int8."
        )
    if precision == "int8":
        _require_int8(device, network_runs)
    plain = EngineSpec("torch", "fp32", device)
    if device != "cpu":
        _require_device(device)
        if not network_runs:
            raise ConfigError(
                f"{device} has nothing to run: no frozen layer comes before those that train, and "
                "what trains runs on the processor.",
                next="Freeze layers, or leave out --device.",
            )
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


def build_engine(
    trunk: "nn.Module", spec: EngineSpec, example: NDArray[np.uint8], key: str | None = None
) -> Engine:
    """The engine that runs this trunk as `spec` says.

    Args:
        trunk: Pixels `n h w c` to a tuple of tensors.
        spec: Library, precision and device.
        example: One photo, `1 h w c`.
        key: What the trunk computes, as a name; converted trunks are kept on disk under it.

    Raises:
        EngineError: If the library cannot take this trunk.
    """
    if spec.precision == "int8":
        raise EngineError(
            f"{spec} needs photos for its scales.", next="Use calibrated_engine, or bf16."
        )
    if spec.library == "torch":
        from budwood.features.torch_engine import TorchEngine

        return TorchEngine(trunk, spec)
    from budwood.features.converting import converted
    from budwood.features.openvino import OpenVINOEngine

    return OpenVINOEngine(converted(trunk, example, key), spec, batch=QUICK_BATCH)


def trust_name(spec: EngineSpec) -> str:
    """An engine of OpenVINO on this processor, as it is trusted or not."""
    from budwood.features.openvino import processor

    return f"{spec.key} on {processor()}"


def _version(library: str) -> str:
    return version(library)


def _cpu_has_bf16() -> bool:
    from budwood.features.openvino import cpu_capabilities

    return "BF16" in cpu_capabilities()


def _require_int8(device: str, network_runs: bool) -> None:
    from budwood.features.quantising import require_nncf

    if device != "cpu":
        raise ConfigError(
            f"int8 runs on the processor only, not on {device}.",
            next="Use --device cpu, or --precision auto.",
        )
    if not network_runs:
        raise ConfigError(
            "int8 has nothing to run: no frozen layer comes before those that train.",
            next="Freeze layers, or use --precision auto.",
        )
    require_nncf()


def _require_device(device: str) -> None:
    kind, colon, number = device.partition(":")
    if kind not in ("cuda", "mps") or (colon and not number.isdigit()):
        raise ConfigError(
            f"No device is called {device!r}.",
            expected="cpu, cuda or mps; a certain one as cuda:1.",
        )
    import torch

    is_there = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not is_there:
        raise ConfigError(f"torch finds no {kind} device here.", next="Use --device cpu.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if colon and int(number) >= count:
        raise ConfigError(
            f"There is no device {device!r}.",
            expected=f"torch finds {count} here, and counts from {kind}:0.",
        )
