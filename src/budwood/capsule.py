"""The capsule: a trained classifier in ONE safetensors file that can prove itself anywhere.

    network.*        every weight and buffer
    golden.N.image   the bytes of a drawn PNG
    golden.N.logits  what the network said to it, in fp32
    trust.*          what held-out photos said of it: see judging/trust.py
    metadata         `format`; `about`, one JSON object with all the rest; `digest` of everything;
                     `answer_digest` of what answers on a compiled trunk: see capsule_digest.py

It is never a pickle: reading one cannot run code.
"""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from budwood.capsule_digest import Part, answering_tensors, capsule_digest
from budwood.errors import CapsuleError
from budwood.features.trunks import Trunk
from budwood.files import CAPSULE, whole_file
from budwood.images.preprocessing import Preprocessing
from budwood.judging.trust import PREFIX, Trust, trust_in
from budwood.machine import installed_version
from budwood.networks.info import Origin

FORMAT = "budwood-capsule-1"
TOLERANCES = {"fp32": 0.01, "bf16": 0.3}
"""Largest error of the golden logits, relative to the spread between the golden images. Where the
capsule is made by a machine with bf16, what bf16 does to this very network is measured instead."""


@dataclass(frozen=True)
class Golden:
    """An image, and what the network said to it when the capsule was made."""

    image: bytes
    logits: tuple[float, ...]


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
    trunk: Trunk | None = None
    """What a machine that has this trunk compiled needs to answer without torch."""
    trust: Trust | None = None
    """How far its word can be taken; None where that is not known."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Counts and fingerprint of the training photos."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What it reached on the test photos."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Libraries it was made with."""


def write_capsule(path: Path, capsule: Capsule) -> None:
    """Put a capsule into a file, whole or not at all.

    Raises:
        OSError: If the file cannot be written; an older one at that path is then untouched.
    """
    tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in capsule.state.items()}
    tensors = _apart(tensors)
    for i, golden in enumerate(capsule.golden):
        tensors[f"golden.{i}.image"] = torch.frombuffer(bytearray(golden.image), dtype=torch.uint8)
        tensors[f"golden.{i}.logits"] = torch.tensor(golden.logits)
    if capsule.trust is not None:
        tensors |= {n: torch.from_numpy(a.copy()) for n, a in capsule.trust.arrays().items()}
    about = json.dumps(
        {
            "origin": capsule.origin.to_json(),
            "preprocessing": capsule.preprocessing.to_json(),
            "classes": list(capsule.classes),
            "trainable": list(capsule.trainable),
            "precision": capsule.precision,
            "tolerances": dict(capsule.tolerances),
            "trunk": capsule.trunk and capsule.trunk.to_json(),
            "trust": capsule.trust and capsule.trust.to_json(),
            "data": dict(capsule.data),
            "metrics": dict(capsule.metrics),
            "versions": dict(capsule.versions),
        }
    )
    metadata = {"format": FORMAT, "about": about, "digest": _digest(tensors, about)}
    if capsule.trunk is not None:
        some = {n: tensors[n] for n in answering_tensors(tensors, capsule.trunk.chain)}
        metadata["answer_digest"] = _digest(some, about)
    with whole_file(path) as file:
        save_file(tensors, file.name, metadata)  # from where they lie, without a copy


def read_capsule(path: Path) -> Capsule:
    """The capsule in a file, or in the folder of a run; every byte is checked.

    Raises:
        CapsuleError: If there is none, it is damaged or cut short, or is not one of ours.
    """
    path = path / CAPSULE if path.is_dir() else path
    if not path.is_file():
        raise CapsuleError(
            f"There is no capsule at {path}.",
            expected=f"A file that `budwood train` wrote, or a folder with {CAPSULE} in it.",
            file=path,
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as problem:
        raise CapsuleError(
            f"{path} is damaged, cut short or no safetensors file ({problem}).",
            next="Copy it again from where it was made.",
            file=path,
        ) from None
    if metadata.get("format") != FORMAT:
        raise CapsuleError(
            f"{path} is a safetensors file but no capsule of this version of Budwood.",
            expected=f"Its format should be {FORMAT}, it is {metadata.get('format')!r}.",
            next="Bare weights go to `budwood train --weights`.",
            file=path,
        )
    about = metadata.get("about", "")
    if _digest(tensors, about) != metadata.get("digest"):
        raise CapsuleError(
            f"{path} has changed since it was made: its content does not match its digest.",
            next="Copy it again from where it was made.",
            file=path,
        )
    try:
        return _capsule(json.loads(about), tensors)
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise CapsuleError(
            f"{path} is no capsule that Budwood wrote ({type(problem).__name__}: {problem}).",
            next="Make it again with `budwood train`.",
            file=path,
        ) from None


def _capsule(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Capsule:
    return Capsule(
        origin=Origin.from_json(about["origin"]),
        preprocessing=Preprocessing.from_json(about["preprocessing"]),
        classes=tuple(about["classes"]),
        state={k[8:]: v for k, v in tensors.items() if k.startswith("network.")},
        trainable=tuple(about["trainable"]),
        precision=about["precision"],
        golden=_goldens(tensors),
        tolerances=about["tolerances"],
        trunk=(said := about.get("trunk")) and Trunk.from_json(said),
        trust=trust_in(
            about, {name: t.numpy() for name, t in tensors.items() if name.startswith(PREFIX)}
        ),
        data=about["data"],
        metrics=about["metrics"],
        versions=about["versions"],
    )


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


def _goldens(tensors: Mapping[str, Tensor]) -> tuple[Golden, ...]:
    count = sum(re.fullmatch(r"golden\.\d+\.image", name) is not None for name in tensors)
    return tuple(
        Golden(
            tensors[f"golden.{i}.image"].numpy().tobytes(),
            tuple(tensors[f"golden.{i}.logits"].tolist()),
        )
        for i in range(count)
    )


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share memory, as tied weights do, each with memory of its own."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[name] = tensor.clone()
        seen.add(place)
    return tensors


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    """A digest of all that a capsule holds: every tensor, and what it says of itself."""
    return capsule_digest(map(_part, tensors.items()), about)


def _part(item: tuple[str, Tensor]) -> Part:
    name, tensor = item
    flat = tensor.contiguous().reshape(-1)
    values = (flat.view(torch.uint8) if flat.numel() else flat.byte()).numpy()
    return name, str(tensor.dtype), tuple(tensor.shape), values
