"""Do the engines of this machine agree with torch in fp32? Asked with a small network."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from budwood.errors import EngineError
from budwood.features.engines import EngineSpec
from budwood.features.openvino import cpu_capabilities
from budwood.features.verification import PROBES, trusted_engine

SIDE = 32
"""Pixels of the noise that is put through it."""


@dataclass(frozen=True)
class EngineCheck:
    """What came out of trying one engine."""

    library: str
    precision: str
    device: str
    is_trusted: bool
    error: float | None
    """Of its output, as a share of the spread between photos; None if it did not run, or disagreed.
    """
    reason: str | None
    """Why it is not trusted."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def __str__(self) -> str:
        place = "" if self.device == "cpu" else f" on {self.device}"
        name = f"{self.library} {self.precision}{place}"
        if self.is_trusted:
            return f"{name} agrees with torch fp32 (error {self.error:.3f} of the spread)"
        return f"{name} is not used: {self.reason}"


def check_engines() -> tuple[EngineCheck, ...]:
    """Every engine that Budwood can use, tried on noise."""
    torch_generator = torch.Generator().manual_seed(0)
    trunk = _Small(torch_generator).eval()
    photos = np.random.default_rng(0).integers(0, 256, (PROBES, SIDE, SIDE, 3)).astype(np.uint8)
    return tuple(_checked(spec, trunk, photos) for spec in _specs())


def gpus() -> tuple[str, ...]:
    """The GPUs that torch finds, by name."""
    cuda = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    names = [torch.cuda.get_device_name(i) for i in cuda]
    return (*names, *(("Apple GPU (mps)",) if torch.backends.mps.is_available() else ()))


def _specs() -> Iterator[EngineSpec]:
    yield EngineSpec("openvino", "bf16")
    yield EngineSpec("openvino", "fp32")
    yield EngineSpec("torch", "fp32")
    if torch.cuda.is_available():
        yield EngineSpec("torch", "bf16", "cuda")
        yield EngineSpec("torch", "fp32", "cuda")
    if torch.backends.mps.is_available():
        yield EngineSpec("torch", "fp32", "mps")


def _checked(spec: EngineSpec, trunk: nn.Module, photos: np.ndarray[Any, Any]) -> EngineCheck:
    about = (spec.library, spec.precision, spec.device)
    if (spec.library, spec.precision) == ("openvino", "bf16") and "BF16" not in cpu_capabilities():
        return EngineCheck(*about, False, None, "this processor has no bf16 arithmetic")
    told: list[str] = []
    try:
        _, verdict = trusted_engine(trunk, [spec], photos, told.append)
    except EngineError as problem:
        return EngineCheck(*about, False, None, told[0] if told else problem.problem)
    return EngineCheck(*about, True, max(verdict.errors), None)


class _Small(nn.Module):
    """Pixels to features through the kinds of layers that networks are made of."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16),
            nn.SiLU(),
            nn.Conv2d(16, 32, 1),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 32),
        )
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    width = parameter[0].numel() ** -0.5
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 2 * width)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        x = pixels.permute(0, 3, 1, 2).float() / 128 - 1
        return (self.layers(x),)
