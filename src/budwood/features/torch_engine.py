"""Torch's own engine: the reference in fp32 on the processor, and what runs on a GPU."""

import copy
from collections.abc import Generator, Iterable
from contextlib import nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from budwood.arrays import Pixels
from budwood.errors import ConfigError
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

if TYPE_CHECKING:  # which engines there are is asked without it
    import torch
    from torch import nn

GPU_BATCH, GPU_BATCHES = 16, (64,)
"""Images in a batch on a GPU, and what else is tried."""
_PRECISIONS: dict[str, tuple[Precision, ...]] = {"cuda": ("bf16", "fp32"), "mps": ("fp32", "bf16")}


class TorchEngine:
    """Runs a trunk in torch.

    CUDA and MPS are written from the documentation and have not been measured.
    """

    def __init__(self, trunk: "nn.Module", spec: EngineSpec) -> None:
        self.spec = spec
        self.batch = spec.batch or (BATCH if spec.device == "cpu" else GPU_BATCH)
        self.other_batches: tuple[int, ...] = () if spec.device == "cpu" else GPU_BATCHES
        self.seconds_to_build = 0.0
        self._trunk = trunk if spec.device == "cpu" else copy.deepcopy(trunk).to(spec.device)
        self._trunk.eval()

    def run(self, images: Batch) -> Rows:
        """The frontier of the images, `n ...` each, in one batch."""
        import torch

        # A copy: a trunk may hand its input on as it is, and the caller keeps its array.
        batch = torch.from_numpy(np.stack(list(images))).to(self.spec.device)
        with torch.inference_mode(), self._arithmetic():
            rows = self._trunk(batch)
        return tuple(_plain(row) for row in rows)

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """One batch after the other."""
        for tag, images in batches:
            yield tag, self.run(images)

    def _arithmetic(self) -> Any:
        import torch

        if self.spec.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.spec.device.partition(":")[0], torch.bfloat16)


class Torch:
    """What torch offers as an engine."""

    def version(self) -> str:
        return version("torch")

    def hardware(self) -> str:
        """Nothing: it needs no time to be built, and is judged each time."""
        return ""

    def precisions(self, device: str) -> tuple[Precision, ...]:
        """On MPS bf16 only where it is asked for."""
        return _PRECISIONS.get(device.partition(":")[0], ("fp32",))

    def refusal(self, spec: EngineSpec) -> str:
        """None: a device is looked for before its engines are."""
        return ""

    def rehearse(self, spec: EngineSpec) -> float | None:
        """Some convolutions on the processor; elsewhere nothing, an engine being built at once."""
        if spec.device != "cpu":
            return None
        import torch

        with torch.random.fork_rng(devices=[]):
            engine = TorchEngine(_convolutions(), spec)
        return rehearsed(lambda: engine.run(REHEARSED))

    def build(
        self, trunk: "nn.Module", spec: EngineSpec, example: Pixels, key: str | None
    ) -> Engine:
        return TorchEngine(trunk, spec)

    def kept(self, key: str, spec: EngineSpec, few: int | None) -> None:
        """Nothing is kept: there is nothing to make."""


def _convolutions() -> "nn.Module":
    """The small network of `engines.REHEARSED_LAYERS`."""
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self, layers: nn.Module) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.layers(images.permute(0, 3, 1, 2).float()).mean((2, 3)),)

    layers: list[nn.Module] = []
    for inputs, outputs, width, groups in REHEARSED_LAYERS:
        layers += [nn.Conv2d(inputs, outputs, width, 1, width // 2, groups=groups), nn.ReLU()]
    return Small(nn.Sequential(*layers))


def devices() -> tuple[str, ...]:
    """The kinds of devices that torch finds."""
    import torch

    gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("cpu", *(device for device, is_there in gpus.items() if is_there))


def require_device(device: str) -> None:
    """Raise a ConfigError unless torch finds this GPU."""
    kind, colon, number = device.partition(":")
    if kind not in ("cuda", "mps") or (colon and not number.isdigit()):
        raise ConfigError(
            f"No device is called {device!r}.",
            expected="cpu, cuda or mps; a certain one as cuda:1.",
        )
    import torch

    if kind not in devices():
        raise ConfigError(f"torch finds no {kind} device here.", next="Use --device cpu.")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if colon and int(number) >= count:
        raise ConfigError(
            f"There is no device {device!r}.",
            expected=f"torch finds {count} here, and counts from {kind}:0.",
        )


def _plain(row: "torch.Tensor") -> NDArray[Any]:
    row = row.float() if row.is_floating_point() else row
    return np.ascontiguousarray(row.cpu().numpy())
