"""Proof that a saved classifier still gives the answers that it gave when it was made."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.capsule.pack import read_capsule
from budwood.display import displayed
from budwood.errors import EngineError
from budwood.features.verification import TOLERANCE, spread_error
from budwood.image_classifier import ImageClassifier
from budwood.reporter import Reporter


@displayed
@dataclass(frozen=True)
class Check:
    """How one engine did on a capsule's golden images."""

    engine: str
    precision: str
    error: float
    """Of the logits, relative to their spread between the golden images."""
    tolerance: float
    same_top1: bool
    """Whether every image has the same best class, close calls within the tolerance aside."""

    @property
    def passed(self) -> bool:
        """True if the answers are the same."""
        return self.error <= self.tolerance and self.same_top1


@displayed
@dataclass(frozen=True)
class Verification:
    """Whether a capsule still gives the answers it gave when it was made."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    images: int

    @property
    def passed(self) -> bool:
        """True if every engine that this machine has gives the same answers."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        checks = [asdict(check) | {"passed": check.passed} for check in self.checks]
        return {
            "passed": self.passed,
            "images": self.images,
            "checks": checks,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"{'same' if c.passed else 'DIFFERENT'} answers with {c.engine} {c.precision}: "
            f"error {c.error:.4f} of the spread (tolerance {c.tolerance:g}), "
            f"top-1 {'the same' if c.same_top1 else 'differs'}"
            for c in self.checks
        ]
        return "\n".join([*lines, *self.notes])


def verify(path: Path | str) -> Verification:
    """Run a capsule's golden images on this machine and compare with the stored logits.

    fp32 in torch always, and the precision that it was trained with through the engine that
    prediction uses here.

    Raises:
        CapsuleError: If the capsule cannot be read.
    """
    capsule = read_capsule(Path(path))
    told: list[object] = []
    model = ImageClassifier.of_capsule(capsule, reporter=Reporter(note=told.append))
    pixels = np.stack([model.preprocessing.pixels(g.image) for g in capsule.golden])
    expected = np.array([g.logits for g in capsule.golden], np.float32)
    exact = model.plan.answers_exactly(pixels).numpy()
    checks = [_check("torch", "fp32", expected, exact, capsule.tolerances["fp32"])]
    notes = [str(note) for note in told]
    spec = model.plan.spec
    try:
        logits = model.plan.answers(pixels, spec).numpy()
    except EngineError as problem:
        notes.append(f"Prediction uses torch here: {problem}")
    else:
        if spec.precision == "int8" and capsule.int8 is not None:  # judged by its own answers
            expected, tolerance = capsule.int8.logits, TOLERANCE
        else:
            tolerance = capsule.tolerances[spec.precision]
        checks.append(_check(spec.library, spec.precision, expected, logits, tolerance))
    if capsule.precision == "int8" and spec.precision != "int8":
        notes.append(f"It was trained in int8; prediction runs in {checks[-1].precision}.")
    elif capsule.precision not in {check.precision for check in checks}:
        notes.append(f"This machine does not run {capsule.precision}, which it was trained with.")
    return Verification(tuple(checks), tuple(notes), len(capsule.golden))


def _check(
    engine: str,
    precision: str,
    expected: NDArray[np.float32],
    logits: NDArray[np.float32],
    tolerance: float,
) -> Check:
    error = spread_error(expected, logits)
    return Check(engine, precision, error, tolerance, _same_top1(expected, logits, tolerance))


def _same_top1(
    expected: NDArray[np.float32], logits: NDArray[np.float32], tolerance: float
) -> bool:
    """Whether the best class is the same wherever it led by more than the tolerance."""
    spread = float(np.sqrt(((expected - expected.mean(0)) ** 2).mean()))
    best = expected.max(1)
    lead = best - expected[np.arange(len(expected)), logits.argmax(1)]
    return bool((lead <= 2 * tolerance * spread).all())
