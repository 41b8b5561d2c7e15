"""An engine is trusted only after it has agreed with fp32 torch on the user's own images."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from budwood.arrays import Pixels
from budwood.errors import EngineError
from budwood.features.engines import EXACT, Engine, EngineSpec, Rows, build_engine
from budwood.features.torch_engine import TorchEngine
from budwood.reporter import Reporter

if TYPE_CHECKING:
    from torch import nn

TOLERANCE = 0.1
"""The largest error, as a share of the spread between images, of an engine that is trusted.

In trials good bf16 gave 0.007 to 0.051 and a wrong order of channels 0.3.
"""
DRAWN_SLACK = 2.0
"""How many times the tolerance an error may be where drawn pictures are among those judged by.

They differ less than photos do: on the features of efficientnet_lite0 the bf16 of torch is off by
0.05 of the spread of eight photos and 0.09 of that of eight drawings, swapped channels by 0.9 and
0.6.
"""
PROBES = 8
"""Images that an engine is judged by."""
ROUNDING = 1e-6
"""A spread of no more than this share of the values is what is left of rounding in fp32."""

_log = logging.getLogger("budwood")


@dataclass(frozen=True)
class Verdict:
    """What came out of judging one engine."""

    spec: EngineSpec
    errors: tuple[float, ...]
    """For each frontier tensor, its error relative to the spread between images."""
    reason: str = ""
    """Why the engine cannot run at all, if it cannot."""
    slack: float = 1.0
    """How many times the tolerance an error may be."""

    @property
    def is_verified(self) -> bool:
        """True if the engine ran and every tensor is within the tolerance."""
        limit = TOLERANCE * self.slack
        return not self.reason and all(error <= limit for error in self.errors)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.spec} cannot run this network ({self.reason})"
        worst = max(self.errors, default=0.0)
        state = "agrees" if self.is_verified else "disagrees"
        return f"{self.spec} {state} with torch fp32 (error {worst:.3f} of the spread)"


def verified_engine(
    trunk: "nn.Module",
    specs: Sequence[EngineSpec],
    probe: Pixels,
    reporter: Reporter,
    key: str | None = None,
    is_known: Callable[[EngineSpec], bool] = lambda spec: False,
    reference: "Reference | None" = None,
) -> tuple[Engine, Verdict]:
    """The first engine of `specs` that agrees with fp32 torch on `probe`, or is known to agree.

    Torch in fp32 on the CPU is the reference itself, and taken as it is. What does not agree is
    told to `reporter`. A converted trunk is kept under `key`. A `reference` that is given need not
    be computed.
    """
    reference = reference or Reference(trunk, varied(probe))
    for spec in specs:
        verdict, engine = _judge(trunk, spec, reference, key, is_known(spec))
        if engine is not None and (verdict.is_verified or spec == EXACT):
            _log.info("%s", verdict)
            return engine, verdict
        reporter.note(f"{verdict}; falling back.")
    raise EngineError(
        f"None of {', '.join(map(str, specs))} agrees with torch in fp32 on the processor.",
        next="Use --device cpu.",
    )


def varied(probe: Pixels) -> Pixels:
    """Enough different images to see a spread: those given, and mirrored if there are few."""
    different = np.stack(list({image.tobytes(): image for image in probe}.values()))
    if len(different) >= PROBES:
        return different
    views = [different, different[:, :, ::-1], different[:, ::-1], 255 - different]
    return np.ascontiguousarray(np.concatenate(views)[:PROBES])


def spread_error(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """How far two results `n ...` differ, relative to how far the images differ among themselves.

    The plain relative norm hides a wrong result behind what all images share, and random weights
    give values of 1e-12 that no absolute tolerance can judge.
    """
    f = reference.astype(np.float64)
    g = candidate.astype(np.float64)
    if f.shape != g.shape or not np.isfinite(g).all():
        return float("inf")
    difference, spread = np.linalg.norm(f - g), np.linalg.norm(f - f.mean(axis=0))
    size = np.linalg.norm(f)
    if spread <= ROUNDING * size:
        return 0.0 if difference <= 1e-3 * size else float("inf")
    return float(difference / spread)


class Reference:
    """A few images, and their rows by fp32 torch, computed when they are wanted."""

    def __init__(self, trunk: "nn.Module", probe: Pixels, slack: float = 1.0) -> None:
        self._trunk, self.probe, self.slack = trunk, probe, slack

    @cached_property
    def rows(self) -> Rows:
        engine = TorchEngine(self._trunk, EXACT)
        # Two images at a time: the activations of a whole probe in fp32 would set the memory peak.
        parts = [engine.run(self.probe[i : i + 2]) for i in range(0, len(self.probe), 2)]
        rows = tuple(np.concatenate(tensor) for tensor in zip(*parts, strict=True))
        if not all(np.isfinite(tensor).all() for tensor in rows):
            raise EngineError(
                "The network's frozen part gives values that are not finite on these photos.",
                next="Check the weights and that they belong to this architecture.",
            )
        return rows


def _judge(
    trunk: "nn.Module", spec: EngineSpec, reference: Reference, key: str | None, is_known: bool
) -> tuple[Verdict, Engine | None]:
    probe = reference.probe
    given = probe.copy()
    try:
        engine = build_engine(trunk, spec, given[:1], key)
        rows = engine.run(given)
    except RuntimeError as problem:
        return Verdict(spec, (), str(problem).partition("\n")[0] or repr(problem)), None
    if not np.array_equal(given, probe):
        return Verdict(spec, (), "it writes to the photos it is given"), None
    if is_known:
        return Verdict(spec, ()), engine
    if len(rows) != len(reference.rows):
        return Verdict(spec, (), f"{len(rows)} outputs for {len(reference.rows)}"), None
    errors = tuple(spread_error(f, g) for f, g in zip(reference.rows, rows, strict=True))
    return Verdict(spec, errors, slack=reference.slack), engine
