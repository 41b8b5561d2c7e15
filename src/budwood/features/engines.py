"""Engines run a trunk over batches of pixels: what they promise, which there are, which are tried.

A new one is a file with an `EngineKind` in it, and a line in `KINDS`.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from budwood.arrays import Pixels
from budwood.display import displayed
from budwood.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "bf16", "int8"]
Rows = tuple[NDArray[Any], ...]
"""One array `n ...` for each tensor of the frontier."""
REHEARSED = np.zeros((16, 56, 56, 3), np.uint8)
"""What the small network that engines are rehearsed with is run on: enough images for all cores."""
REHEARSED_LAYERS = (
    (3, 32, 3, 1),
    *3 * ((32, 96, 1, 1), (96, 96, 3, 96), (96, 32, 1, 1), (32, 32, 3, 1)),
)
"""Its convolutions, of the kinds that networks consist of: inputs, outputs, width, groups."""
REHEARSALS = 6
"""How often it runs; the first time does not count."""
Batch = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""Images `h w c` of one size, one after the other."""
BATCH = 4
"""Images in a batch on the processor, where nothing else is known."""


@displayed
@dataclass(frozen=True)
class EngineSpec:
    """Which library runs the trunk, and in which arithmetic."""

    library: str
    """The name of an `EngineKind`."""
    precision: Precision
    device: str = "cpu"
    calibration: str = ""
    """What the scales of int8 were taken from, and by what."""
    batch: int | None = None
    """Images at a time, on which rows do not depend; None is as the engine usually does."""

    @property
    def key(self) -> str:
        """What the stored rows depend on: another version of the library makes other rows."""
        parts = (self.library, kind_of(self).version(), self.precision, self.device)
        return " ".join((*parts, self.calibration) if self.calibration else parts)

    def __str__(self) -> str:
        place = "" if self.device == "cpu" else f" on {self.device}"
        batch = "" if self.batch is None else f", {self.batch} at a time"
        return f"{self.library} {self.precision}{place}{batch}"


class Engine(Protocol):
    """Runs one trunk. Inputs are never written to."""

    spec: EngineSpec
    batch: int
    """The most images in a batch of `stream`, and the number that is fastest."""
    seconds_to_build: float
    """What another one like it would take, now that the trunk is converted."""
    other_batches: tuple[int, ...]
    """Numbers of images at a time that may be faster than the usual one, most promising first."""

    def run(self, images: Batch) -> Rows:
        """The frontier of any number of images."""

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """The frontier of each batch with the batch's tag, in order, overlapped where possible."""


class EngineKind(Protocol):
    """A library that runs trunks. One is made, and asked, without importing torch."""

    def version(self) -> str:
        """Part of the key of stored rows: another version rounds otherwise."""

    def hardware(self) -> str:
        """What an engine's agreement with torch holds for, besides the version; "" if agreement is
        not remembered."""

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """Those it has for such a device, the best first; none for a device it does not use.
        "auto" goes no further than fp32."""

    def refusal(self, spec: EngineSpec) -> str:
        """Why this machine cannot run it; "" if it can."""

    def rehearse(self, spec: EngineSpec) -> float | None:
        """Seconds of a small network of its own in this arithmetic, to compare with another one;
        None if that says nothing."""

    def build(
        self, trunk: "nn.Module", spec: EngineSpec, example: Pixels, key: str | None
    ) -> Engine:
        """As `build_engine`; what takes long to make is kept in `trunks` under the key."""

    def kept(self, key: str, spec: EngineSpec, few: int | None) -> Engine | None:
        """The engine of a trunk that was kept under this key, without the trunk; None if none was.

        With `few` it is for so many images only: the first answer counts.
        """


def _openvino() -> EngineKind:
    from budwood.features.openvino import OpenVINO

    return OpenVINO()


def _torch() -> EngineKind:
    from budwood.features.torch_engine import Torch

    return Torch()


KINDS: dict[str, Callable[[], EngineKind]] = {"openvino": _openvino, "torch": _torch}
"""All kinds by name, the preferred first; torch, which the others are held against, is the last."""
EXACT = EngineSpec("torch", "fp32")
"""What all others are held against."""


def kind_of(spec: EngineSpec) -> EngineKind:
    """The kind that builds such an engine."""
    return KINDS[spec.library]()


def preferred_specs(precision: str, device: str, network_runs: bool = True) -> list[EngineSpec]:
    """The engines to try, best first, for `--precision` and `--device`.

    "auto" has bf16 where the processor offers it, before fp32; which leads is measured, see
    `engine_trial.py`. "int8" gives the same: what int8 is held against. Without `network_runs` the
    trunk hands the pixels on untouched.
    """
    if precision not in ("auto", "fp32", "bf16", "int8"):
        raise ConfigError(
            f"No precision is called {precision!r}.", expected="auto, fp32, bf16 or int8."
        )
    if precision == "int8":
        _require_int8(device, network_runs)
    if device != "cpu":
        _require_gpu(device, network_runs)
    elif not network_runs:
        return [EXACT]
    specs = [spec for spec in offered(device, precision) if not kind_of(spec).refusal(spec)]
    if precision == "bf16" and all(spec.precision != "bf16" for spec in specs):
        raise ConfigError(
            "This processor has no bf16 arithmetic.", next="Use --precision auto or fp32."
        )
    return specs


def offered(device: str, precision: str = "auto") -> Iterator[EngineSpec]:
    """The engines for a device and a precision, best first; this machine may lack some."""
    for name, kind in KINDS.items():
        precisions = kind().precisions(device)
        if precision == "fp32":
            precisions = tuple(p for p in precisions if p == "fp32")
        elif precision == "bf16":
            precisions = tuple(sorted(precisions))
        elif "fp32" in precisions:
            precisions = precisions[: precisions.index("fp32") + 1]
        yield from (EngineSpec(name, each, device) for each in precisions)


def build_engine(
    trunk: "nn.Module", spec: EngineSpec, example: Pixels, key: str | None = None
) -> Engine:
    """The engine that runs this trunk as `spec` says; what is converted is kept under `key`."""
    if spec.precision == "int8":
        raise EngineError(
            f"{spec} needs photos for its scales.", next="Use calibrated_engine, or bf16."
        )
    return kind_of(spec).build(trunk, spec, example, key)


def verified_name(spec: EngineSpec) -> str:
    """Under what name an engine's agreement with torch is remembered; "" if it is not."""
    hardware = kind_of(spec).hardware()
    return hardware and f"{spec.key} on {hardware}"


def rehearsed(run: Callable[[], object]) -> float:
    """The least seconds of a few runs after the first."""
    seconds = list[float]()
    for _ in range(REHEARSALS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def seconds_per_image(engine: Engine, images: Pixels) -> float:
    """How long an engine takes for an image with several batches under way, as in a pass."""
    batches = [(i, images[i : i + engine.batch]) for i in range(0, len(images), engine.batch)]
    for _ in engine.stream(batches):  # memory for batches of this size is made once
        pass
    started = time.perf_counter()
    for _ in engine.stream(batches):
        pass
    return (time.perf_counter() - started) / len(images)


def _require_int8(device: str, network_runs: bool) -> None:
    from budwood.features.int8 import require_nncf

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


def _require_gpu(device: str, network_runs: bool) -> None:
    from budwood.features.torch_engine import require_device

    require_device(device)
    if not network_runs:
        raise ConfigError(
            f"{device} has nothing to run: no frozen layer comes before those that train, and "
            "what trains runs on the processor.",
            next="Freeze layers, or leave out --device.",
        )
