"""From a fitted network to its capsule: the golden answers, their tolerances, and what is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from budwood.arrays import Pixels
from budwood.capsule import TOLERANCES, Capsule, Golden, installed_versions
from budwood.errors import CapsuleError, EngineError
from budwood.features.engines import preferred_specs
from budwood.features.verification import spread_error
from budwood.golden import draw_golden_images, only_pixels
from budwood.judging.metrics import Evaluation
from budwood.judging.trust import Trust
from budwood.learning.fitting import Fit
from budwood.learning.plan import Plan
from budwood.networks.info import info, preprocessing_of
from budwood.tensors import Logits


def packed(
    plan: Plan,
    classes: tuple[str, ...],
    *,
    fit: Fit | None,
    trust: Trust | None,
    evaluation: Evaluation | None,
    golden: Sequence[Path] | None,
) -> Capsule:
    """The capsule of a network, with proof of what it answers.

    Args:
        plan: The network, and how it runs here.
        classes: Its classes, in the order of its outputs.
        fit: What is known of its training.
        trust: How far its word can be taken.
        evaluation: What to say of its accuracy.
        golden: Photos to prove it by, of which only the pixels are kept; None draws some.

    Raises:
        CapsuleError: If nothing tells how the network is made.
    """
    network = plan.network
    origin = info(network).origin
    if origin is None:
        raise CapsuleError(
            f"A capsule needs to say how its network is made, and this "
            f"{type(network).__name__} does not.",
            next="Make it with budwood.build() or budwood.graft().",
        )
    preprocessing = preprocessing_of(network)
    images = [only_pixels(p.read_bytes()) for p in golden] if golden else draw_golden_images()
    pixels = np.stack([preprocessing.pixels(image) for image in images])
    logits = plan.answers_exactly(pixels)
    rows = zip(images, logits.tolist(), strict=True)
    return Capsule(
        origin=origin,
        preprocessing=preprocessing,
        classes=classes,
        state=network.state_dict(),
        trainable=tuple(n for n, p in network.named_parameters() if p.requires_grad),
        precision=plan.spec.precision,
        golden=tuple(Golden(image, tuple(row)) for image, row in rows),
        tolerances=_tolerances(plan, pixels, logits),
        trunk=plan.trunk,
        trust=trust,
        data={} if fit is None else {"photos": fit.photos, "fingerprint": fit.fingerprint},
        metrics=_figures(evaluation, fit),
        versions=installed_versions(),
    )


def _tolerances(plan: Plan, pixels: Pixels, exact: Logits) -> dict[str, float]:
    """How far the golden logits may be off, in fp32 and as this network's trunk runs here."""
    spec = plan.spec
    if spec.precision == "int8":  # its scales stay here; elsewhere bf16 or fp32 predicts
        spec = preferred_specs("auto", "cpu")[0]
    if spec.precision == "fp32":
        return dict(TOLERANCES)
    try:
        answers = plan.answers(pixels, spec)
    except EngineError:  # met only if nothing ran yet; `verify` says so too
        return dict(TOLERANCES)
    error = spread_error(exact.numpy(), answers.numpy())
    return TOLERANCES | {spec.precision: round(max(0.05, 2 * error), 3)}


def _figures(evaluation: Evaluation | None, fit: Fit | None) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if fit is not None:
        figures["train"] = {"top1": fit.train_top1}
    if evaluation is not None:
        figures["test"] = {
            "photos": evaluation.photos,
            "top1": evaluation.top1,
            "top1_interval": list(evaluation.top1_interval),
        }
    return figures
