"""An engine is trusted only after it has agreed with fp32 torch on the user's own photos."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from budwood.arrays import Pixels
from budwood.errors import EngineError
from budwood.features.engines import QUICK_BATCH, Batch, Engine, EngineSpec, Rows, build_engine
from budwood.features.spread import spread_error as spread_error
from budwood.features.torch_engine import TorchEngine
from budwood.threads import Lock

TOLERANCE = 0.1
"""The largest error, as a share of the spread between photos, of an engine that is trusted.

In trials good bf16 gave 0.007 to 0.051 and a wrong order of channels 0.3.
"""
DRAWN_SLACK = 2.0
"""How many times the tolerance an error may be where drawn pictures are among those judged by.

They differ less than photos do: on the features of efficientnet_lite0 the bf16 of torch is off by
0.05 of the spread of eight photos and 0.09 of that of eight drawings, swapped channels by 0.9 and
0.6.
"""
EXACT = EngineSpec("torch", "fp32")
"""What all others are held against."""
PROBES = 8
"""Photos that an engine is judged by."""

_log = logging.getLogger("budwood")


@dataclass(frozen=True)
class Verdict:
    """What came out of judging one engine."""

    spec: EngineSpec
    errors: tuple[float, ...]
    """For each frontier tensor, its error relative to the spread between photos."""
    reason: str = ""
    """Why the engine cannot run at all, if it cannot."""
    seconds_per_photo: float = 0.0
    slack: float = 1.0
    """How many times the tolerance an error may be."""

    @property
    def is_trusted(self) -> bool:
        """True if the engine ran and every tensor is within the tolerance."""
        limit = TOLERANCE * self.slack
        return not self.reason and all(error <= limit for error in self.errors)

    def __str__(self) -> str:
        if self.reason:
            return f"{self.spec} cannot run this network ({self.reason})"
        worst = max(self.errors, default=0.0)
        state = "agrees" if self.is_trusted else "disagrees"
        return f"{self.spec} {state} with torch fp32 (error {worst:.3f} of the spread)"


class Reference:
    """A few images, and the rows that an engine has to agree with: those of fp32 torch, which are
    computed when they are wanted, unless others are given."""

    def __init__(
        self, trunk: nn.Module, probe: Pixels, slack: float, rows: Rows | None = None
    ) -> None:
        self._trunk, self.probe, self.slack, self._rows = trunk, probe, slack, rows
        self._lock = Lock()

    @property
    def rows(self) -> Rows:
        """What an engine has to agree with.

        Raises:
            EngineError: If it is not finite.
        """
        with self._lock:
            if self._rows is None:
                self._rows = _run(TorchEngine(self._trunk, EXACT), self.probe)
        if not all(np.isfinite(tensor).all() for tensor in self._rows):
            raise EngineError(
                "The network's frozen part gives values that are not finite on these photos.",
                next="Check the weights and that they belong to this architecture.",
            )
        return self._rows

    def errors(self, rows: Rows) -> tuple[float, ...]:
        """How far other rows of the same images are off, for each tensor."""
        return tuple(spread_error(f, g) for f, g in zip(self.rows, rows, strict=True))


class Verified:
    """An engine that was trusted, and that is asked again for each size of batch it gets ready for:
    it may run another graph then."""

    def __init__(self, engine: Engine, reference: Reference, batch: int | None) -> None:
        """Take note of what was agreed on.

        Args:
            engine: The engine.
            reference: What it is held against.
            batch: The size that it was judged with.
        """
        self.spec = engine.spec
        self._engine, self._reference = engine, reference
        self._agreed = {batch}
        self._lock = Lock()

    def expect(self, batch: int | None) -> None:
        """As the engine's own.

        Raises:
            EngineError: If it does not agree with fp32 torch in batches of that size.
        """
        with self._lock:
            self._engine.expect(batch)
            if batch not in self._agreed:
                self._require_agreement(batch)
                self._agreed.add(batch)

    def _require_agreement(self, batch: int | None) -> None:
        rows = self._engine.run(self._reference.probe)
        worst = max(self._reference.errors(rows), default=0.0)
        if worst > TOLERANCE * self._reference.slack:
            raise EngineError(
                f"{self.spec} agreed with torch fp32 on these photos, and in batches of "
                f"{batch or 'any size'} it does not (error {worst:.3f} of the spread).",
                next="Use --precision fp32.",
            )

    def run(self, photos: Batch) -> Rows:
        """The frontier of one batch."""
        return self._engine.run(photos)

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """The frontier of each batch, in order."""
        return self._engine.stream(batches)


def trusted_engine(
    trunk: nn.Module,
    specs: Sequence[EngineSpec],
    probe: Pixels,
    on_note: Callable[[str], None],
    key: str | None = None,
    is_known: Callable[[EngineSpec], bool] = lambda spec: False,
    slack: float = 1.0,
) -> tuple[Engine, Verdict]:
    """The first engine of `specs` that agrees with fp32 torch on `probe`, or is known to agree.

    Torch in fp32 on the CPU is the reference itself, and taken as it is. What does not agree is
    said through `on_note`.

    Args:
        trunk: Pixels `n h w c` to a tuple of tensors.
        specs: Candidates, best first.
        probe: A few of the user's photos, `n h w c`, made by the same path as all others.
        on_note: Told each refusal, in one line.
        key: What the trunk computes, as a name; see `build_engine`.
        is_known: Whether an engine has agreed before, so that it only has to run.
        slack: How many times the tolerance an error may be.

    Raises:
        EngineError: If the trunk gives values that are not finite, or no engine agrees.
    """
    reference = Reference(trunk, varied(probe), slack)
    for spec in specs:
        known = is_known(spec)
        verdict, engine = _judge(trunk, spec, reference, key, known)
        if engine is not None and (verdict.is_trusted or spec == EXACT):
            _log.info("%s", verdict)
            if spec.library == "openvino":
                own = Reference(trunk, reference.probe, slack, engine.run(reference.probe))
                engine = Verified(engine, own if known else reference, QUICK_BATCH)
            return engine, verdict
        on_note(f"{verdict}; falling back.")
    raise EngineError(
        f"None of {', '.join(map(str, specs))} agrees with torch in fp32 on the processor.",
        next="Use --device cpu.",
    )


def varied(probe: Pixels) -> Pixels:
    """Enough different photos to see a spread: those given, and mirrored if there are few."""
    different = np.stack(list({photo.tobytes(): photo for photo in probe}.values()))
    if len(different) >= PROBES:
        return different
    views = [different, different[:, :, ::-1], different[:, ::-1], 255 - different]
    return np.ascontiguousarray(np.concatenate(views)[:PROBES])


def _judge(
    trunk: nn.Module, spec: EngineSpec, reference: Reference, key: str | None, is_known: bool
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
    if not is_known and len(rows) != len(reference.rows):
        return Verdict(spec, (), f"{len(rows)} outputs for {len(reference.rows)}"), None
    started = time.perf_counter()
    engine.run(probe)
    seconds = (time.perf_counter() - started) / len(probe)
    errors = () if is_known else reference.errors(rows)
    return Verdict(spec, errors, seconds_per_photo=seconds, slack=reference.slack), engine


def _run(engine: Engine, probe: Pixels) -> Rows:
    """Two photos at a time: the activations of a whole probe in fp32 would set the memory peak."""
    parts = [engine.run(probe[i : i + 2]) for i in range(0, len(probe), 2)]
    return tuple(np.concatenate(tensor) for tensor in zip(*parts, strict=True))
