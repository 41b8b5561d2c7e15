"""A trained classifier as a value: written to a capsule and read from it, and made of a fit.

Torch is imported, and nothing that runs a network: that is the classifier's matter.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from budwood.arrays import Pixels
from budwood.capsule import format
from budwood.capsule.format import NETWORK, Golden
from budwood.capsule.golden import draw_golden_images, only_pixels
from budwood.errors import CapsuleError, EngineError
from budwood.evaluation.held_out_statistics import PREFIX, HeldOutStatistics, statistics_in
from budwood.features.engine_trial import by_rehearsal
from budwood.features.engines import preferred_specs
from budwood.features.trunks import TrunkRef
from budwood.features.verification import spread_error
from budwood.images.preprocessing import Preprocessing
from budwood.machine import installed_version
from budwood.models.info import Origin, info, preprocessing_of
from budwood.tensors import Logits

if TYPE_CHECKING:
    from budwood.evaluation.metrics import Evaluation
    from budwood.learning.fitting import Fit
    from budwood.learning.plan import Plan

TOLERANCES = {"fp32": 0.01, "bf16": 0.3}
"""Largest error of the golden logits, relative to the spread between the golden images. Where the
capsule is made by a machine with bf16, what bf16 does to this very network is measured instead."""


@dataclass(frozen=True)
class QuantisedTrunk:
    """The trunk in int8 that a head was fitted behind."""

    calibration: str
    """By what its rows are known."""
    graph: bytes
    weights: bytes
    logits: NDArray[np.float32]
    """`n k`, the answers with it to the golden images."""


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """Everything that makes a trained classifier."""

    origin: Origin
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    state: Mapping[str, Tensor]
    """The network's state dict."""
    trainable: tuple[str, ...]
    """Names of the parameters that were trained: where the cut is."""
    precision: str
    """Arithmetic of the trunk while training."""
    golden: tuple[Golden, ...]
    tolerances: Mapping[str, float] = field(default_factory=lambda: dict(TOLERANCES))
    """For each precision, the largest error of the golden logits relative to their spread."""
    trunk: TrunkRef | None = None
    """What a machine that has this trunk compiled needs to answer without torch."""
    int8: QuantisedTrunk | None = None
    """The trunk in int8, where that was judged and predicts; None: bf16 or fp32 does."""
    statistics: HeldOutStatistics | None = None
    """How far its word can be taken; None where that is not known."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Counts and fingerprint of the training photos."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What it reached on the test photos."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Libraries it was made with."""


def write_capsule(path: Path, capsule: Capsule) -> None:
    """Put a capsule into a file, whole or not at all."""
    about = {
        "origin": capsule.origin.to_json(),
        "preprocessing": capsule.preprocessing.to_json(),
        "classes": list(capsule.classes),
        "trainable": list(capsule.trainable),
        "precision": capsule.precision,
        "tolerances": dict(capsule.tolerances),
        "trunk": capsule.trunk and capsule.trunk.to_json(),
        "int8": capsule.int8 and capsule.int8.calibration,
        "trust": capsule.statistics and capsule.statistics.to_json(),
        "data": dict(capsule.data),
        "metrics": dict(capsule.metrics),
        "versions": dict(capsule.versions),
    }
    arrays = {} if capsule.statistics is None else capsule.statistics.arrays()
    if capsule.int8 is not None:
        arrays |= {
            format.INT8_GRAPH: np.frombuffer(capsule.int8.graph, np.uint8),
            format.INT8_WEIGHTS: np.frombuffer(capsule.int8.weights, np.uint8),
            format.INT8_LOGITS: capsule.int8.logits,
        }
    format.write(path, capsule.state, capsule.golden, arrays, about)


def read_capsule(path: Path) -> Capsule:
    """The capsule in a file, or in the folder of a run; every byte is checked."""
    contents = format.read(path)
    try:
        return _capsule(contents)
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise format.not_ours(format.capsule_file(path), problem) from None


def installed_versions() -> dict[str, str]:
    """Versions of what a capsule depends on."""
    libraries = (
        "budwood",
        "torch",
        "torchvision",
        "timm",
        "openvino",
        "safetensors",
        "simplejpeg",
        "cykooz-resizer",
    )
    return {"python": platform.python_version()} | {
        name: installed_version(name) for name in libraries
    }


def packed(
    plan: "Plan",
    classes: tuple[str, ...],
    *,
    fit: "Fit | None",
    statistics: HeldOutStatistics | None,
    evaluation: "Evaluation | None",
    golden: Sequence[Path] | None,
) -> Capsule:
    """The capsule of a network, with proof of what it answers.

    Args:
        plan: The network, and how it runs here.
        classes: Its classes, in the order of its outputs.
        fit: What is known of its training.
        statistics: How far its word can be taken.
        evaluation: What to say of its accuracy.
        golden: Photos to prove it by, of which only the pixels are kept; None draws some.
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
        int8=_quantised(plan, pixels),
        statistics=statistics,
        data={} if fit is None else {"photos": fit.images, "fingerprint": fit.fingerprint},
        metrics=_figures(evaluation, fit),
        versions=installed_versions(),
    )


def _capsule(contents: format.CapsuleContents) -> Capsule:
    about, tensors = contents.about, contents.tensors
    return Capsule(
        origin=Origin.from_json(about["origin"]),
        preprocessing=Preprocessing.from_json(about["preprocessing"]),
        classes=tuple(about["classes"]),
        state={k.removeprefix(NETWORK): v for k, v in tensors.items() if k.startswith(NETWORK)},
        trainable=tuple(about["trainable"]),
        precision=about["precision"],
        golden=contents.golden,
        tolerances=about["tolerances"],
        trunk=(said := about.get("trunk")) and TrunkRef.from_json(said),
        int8=_quantised_in(contents),
        statistics=statistics_in(about, contents.named(PREFIX)),
        data=about["data"],
        metrics=about["metrics"],
        versions=about["versions"],
    )


def _quantised(plan: "Plan", pixels: Pixels) -> QuantisedTrunk | None:
    """The trunk in int8 that the head was fitted behind, if it was one."""
    calibration = plan.calibration
    if calibration is None:
        return None
    model = plan.quantised_model()
    logits = plan.answers(pixels, calibration.spec).numpy()
    plan.note_calibrated()
    return QuantisedTrunk(calibration.key, *model, logits)


def _quantised_in(contents: format.CapsuleContents) -> QuantisedTrunk | None:
    if not (calibration := contents.about.get("int8")):
        return None
    graph, weights, logits = (
        np.asarray(contents.tensors[name])
        for name in (format.INT8_GRAPH, format.INT8_WEIGHTS, format.INT8_LOGITS)
    )
    return QuantisedTrunk(str(calibration), graph.tobytes(), weights.tobytes(), logits)


def _tolerances(plan: "Plan", pixels: Pixels, exact: Logits) -> dict[str, float]:
    """How far the golden logits may be off, in fp32 and as this network's trunk runs here."""
    spec = plan.spec
    if spec.precision == "int8":  # where it cannot run or disagrees, bf16 or fp32 predicts
        spec = by_rehearsal(preferred_specs("auto", "cpu"))[0]
    if spec.precision == "fp32":
        return dict(TOLERANCES)
    try:
        answers = plan.answers(pixels, spec)
    except EngineError:  # met only if nothing ran yet; `verify` says so too
        return dict(TOLERANCES)
    error = spread_error(exact.numpy(), answers.numpy())
    return TOLERANCES | {spec.precision: round(max(0.05, 2 * error), 3)}


def _figures(evaluation: "Evaluation | None", fit: "Fit | None") -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if fit is not None:
        figures["train"] = {"top1": fit.train_top1}
    if evaluation is not None:
        figures["test"] = {
            "photos": evaluation.images,
            "top1": evaluation.top1,
            "top1_interval": list(evaluation.top1_interval),
        }
    return figures
