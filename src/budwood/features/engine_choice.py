"""The engine of one trunk, settled by the first images, and a check of all that there are."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from budwood.arrays import Pixels
from budwood.capsule.golden import draw_golden_images
from budwood.errors import EngineError
from budwood.features.engine_trial import by_rehearsal, by_speed, fastest, name_timed, speeds, told
from budwood.features.engines import (
    Engine,
    EngineSpec,
    kind_of,
    offered,
    preferred_specs,
    seconds_per_image,
    verified_name,
)
from budwood.features.extraction import Decoded, Unreadable
from budwood.features.int8 import Calibration, calibrated_engine
from budwood.features.torch_engine import devices
from budwood.features.trunks import is_verified, note_verified, trunk_key
from budwood.features.verification import DRAWN_SLACK, PROBES, Reference, varied, verified_engine
from budwood.images.preprocessing import Preprocessing
from budwood.reporter import SILENT, Reporter
from budwood.surgery.cutting import Cut
from budwood.surgery.fingerprints import graph_keys, module_key
from budwood.threads import Lock

SIDE = 32
"""Pixels of the noise that an engine is checked with."""


class EngineChoice:
    """The engine that runs a trunk, from the wish for one to one that is trusted."""

    def __init__(
        self,
        cut: Cut,
        preprocessing: Preprocessing,
        precision: str,
        device: str,
        calibration: Calibration | None,
        reporter: Reporter,
        network: str = "",
    ) -> None:
        self._trunk, self._preprocessing = cut.trunk, preprocessing
        self._calibration, self._reporter, self._network = calibration, reporter, network
        self.keys = frontier_keys(cut)
        """One key for each frontier tensor: equal keys, equal rows."""
        runs = set(self.keys) != {"input"}
        self._is_open = precision not in ("bf16", "int8")
        self._specs = (
            self._ranked(preferred_specs(precision, device, network_runs=runs))
            if calibration is None
            else [calibration.spec]
        )
        self.engine: Engine | None = None
        """None until images have settled it."""
        self._lock = Lock()

    def _ranked(self, specs: list[EngineSpec]) -> list[EngineSpec]:
        """By what was measured: on this trunk, else on this processor."""
        return by_speed(self.trunk_key, by_rehearsal(specs)) if self._is_open else specs

    @property
    def specs(self) -> tuple[EngineSpec, ...]:
        """The engines that are tried, best first."""
        return tuple(self._specs)

    @property
    def spec(self) -> EngineSpec:
        """The engine in use, or the one that would be."""
        return self._specs[0] if self.engine is None else self.engine.spec

    @property
    def trunk_key(self) -> str:
        """The name of the trunk among the kept ones, in fp32 and bf16."""
        height, width = self._preprocessing.size
        return trunk_key(self.keys, (height, width, len(self._preprocessing.mean)))

    def prefer(self, worth: Callable[[EngineSpec], int]) -> None:
        """Put the engines that are worth most first, if none is in use and none was asked for."""
        with self._lock:
            if self.engine is None and self._is_open:
                self._specs = sorted(self._specs, key=lambda spec: -worth(spec))

    def has_agreed(self, spec: EngineSpec) -> bool:
        """True if this engine was trusted with this trunk on this processor before."""
        return is_verified(self.trunk_key, verified_name(spec))

    def settle(
        self,
        images: Iterator[Decoded | Unreadable],
        is_known: Callable[[EngineSpec], bool] = lambda spec: False,
        *,
        by_images: bool = True,
        to_run: int = 0,
    ) -> list[Decoded | Unreadable]:
        """Build the engine and judge it, once; gives back the images that were taken for that.

        In a thread, so that Ctrl-C need not wait for it; the others are decoded meanwhile.

        Args:
            images: The first are what it is judged by.
            is_known: Whether an engine has agreed before: it comes first, and is not judged anew.
            by_images: False judges by drawn pictures alone, so that it is the same engine whatever
                is asked first.
            to_run: Images of the pass; where they are many, other engines are tried as well.
        """
        with self._lock:
            if self.engine is not None:
                return []
            taken = _taken(images)
            if not (pixels := _pixels(taken)):
                return taken
            if self._is_open:
                self._specs = sorted(self._specs, key=lambda spec: not is_known(spec))
            known = any(map(is_known, self._specs))
            probe, slack = self._probe(pixels if by_images and not known else [])
            pool = ThreadPoolExecutor(1)
            try:
                trials = 0 if known or not by_images else to_run
                self.engine = pool.submit(self._built, probe, is_known, slack, trials).result()
            finally:
                pool.shutdown(wait=False)
            return taken

    def measured(self, images: Iterator[Decoded | Unreadable]) -> float:
        """Seconds that the engine takes for one of these images, decoding left out."""
        all_of_them = [*self.settle(images), *images]
        assert self.engine is not None
        return seconds_per_image(self.engine, np.stack(_pixels(all_of_them)))

    def _probe(self, images: Sequence[Pixels]) -> tuple[Pixels, float]:
        """The different ones of these images, with drawn pictures where they are few, and the slack
        that these need."""
        given = list({pixels.tobytes(): pixels for pixels in images}.values())
        if len(given) >= PROBES:
            return np.stack(given), 1.0
        drawn = map(self._preprocessing.pixels, draw_golden_images(PROBES))
        return np.stack([*given, *drawn]), DRAWN_SLACK

    def _built(
        self, probe: Pixels, is_known: Callable[[EngineSpec], bool], slack: float, to_run: int
    ) -> Engine:
        trunk, settings = self._trunk, self._preprocessing
        if self._calibration is not None:
            return calibrated_engine(trunk, probe[:1], self.trunk_key, self._calibration, settings)
        reference = Reference(trunk, varied(probe), slack)
        engine, _ = verified_engine(
            trunk, self._specs, probe, self._reporter, self.trunk_key, is_known, reference
        )
        if self._is_open and to_run:
            engine = self._fastest(engine, reference, to_run)
            if len(timed := speeds(self.trunk_key, self._specs)) > 1:
                name_timed(self.trunk_key, self._network)
                self._reporter.note(f"Timed on such photos: {told(timed)}.")
        if name := verified_name(engine.spec):
            note_verified(self.trunk_key, name)
        return engine

    def _fastest(self, leader: Engine, reference: Reference, to_run: int) -> Engine:
        """The fastest engine, if others than the leader are tried on so many images."""

        def build(spec: EngineSpec) -> Engine | None:
            with suppress(EngineError):  # it is refused, and one that is not runs the pass
                given = self._trunk, [spec], reference.probe, SILENT, self.trunk_key
                return verified_engine(*given, reference=reference)[0]
            return None

        after = self._specs[self._specs.index(leader.spec) + 1 :]
        engine, _ = fastest(
            leader, after, build, reference.probe, to_run=to_run, key=self.trunk_key
        )
        return engine


def frontier_keys(cut: Cut) -> tuple[str, ...]:
    """One key for each frontier tensor of a cut: equal keys, equal rows for equal pixels."""
    if isinstance(cut.trunk, fx.GraphModule):
        return graph_keys(cut.trunk)
    return (module_key(cut.trunk),)


def _taken(images: Iterator[Decoded | Unreadable]) -> list[Decoded | Unreadable]:
    """Images until enough of them can be read to judge an engine by."""
    taken: list[Decoded | Unreadable] = []
    while len(_pixels(taken)) < PROBES and (image := next(images, None)) is not None:
        taken.append(image)
    return taken


def _pixels(images: Sequence[Decoded | Unreadable]) -> list[Pixels]:
    return [image.pixels for image in images if isinstance(image, Decoded)]


@dataclass(frozen=True)
class EngineCheck:
    """What came out of trying one engine with a small network."""

    library: str
    precision: str
    device: str
    is_verified: bool
    error: float | None
    """As a share of the spread between images; None if it did not run, or disagreed."""
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        place = "" if self.device == "cpu" else f" on {self.device}"
        name = f"{self.library} {self.precision}{place}"
        if self.is_verified:
            return f"{name} agrees with torch fp32 (error {self.error:.3f} of the spread)"
        return f"{name} is not used: {self.reason}"


def check_engines() -> tuple[EngineCheck, ...]:
    """Every engine that Budwood can use, tried on noise: does it agree with torch in fp32?"""
    trunk = _Small(torch.Generator().manual_seed(0)).eval()
    noise = np.random.default_rng(0).integers(0, 256, (PROBES, SIDE, SIDE, 3)).astype(np.uint8)
    specs = [spec for device in devices() for spec in offered(device)]
    return tuple(_checked(spec, trunk, noise) for spec in specs)


def gpus() -> tuple[str, ...]:
    """The GPUs that torch finds, by name."""
    cuda = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    names = [torch.cuda.get_device_name(i) for i in cuda]
    return (*names, *(("Apple GPU (mps)",) if torch.backends.mps.is_available() else ()))


def _checked(spec: EngineSpec, trunk: nn.Module, noise: Pixels) -> EngineCheck:
    about = (spec.library, spec.precision, spec.device)
    if refusal := kind_of(spec).refusal(spec):
        return EngineCheck(*about, False, None, refusal)
    told: list[object] = []
    try:
        _, verdict = verified_engine(trunk, [spec], noise, Reporter(note=told.append))
    except EngineError as problem:
        return EngineCheck(*about, False, None, str(told[0]) if told else problem.problem)
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
