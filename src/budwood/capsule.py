"""The capsule: a trained classifier in ONE safetensors file that can prove itself anywhere.

    network.*        every weight and buffer
    golden.N.image   the bytes of a drawn PNG
    golden.N.logits  what the network said to it, in fp32
    metadata         `format`, and `about`: one JSON object with all the rest

It is never a pickle: reading one cannot run code.
"""

import hashlib
import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from budwood.errors import CapsuleError
from budwood.images.preprocessing import Preprocessing
from budwood.networks.origins import Origin
from budwood.places import whole_file

FORMAT = "budwood-capsule-1"
FILE_NAME = "model.safetensors"
"""The capsule's name inside the folder of a run."""
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
    about = {
        "origin": capsule.origin.to_json(),
        "preprocessing": capsule.preprocessing.to_json(),
        "classes": list(capsule.classes),
        "trainable": list(capsule.trainable),
        "precision": capsule.precision,
        "tolerances": dict(capsule.tolerances),
        "data": dict(capsule.data),
        "metrics": dict(capsule.metrics),
        "versions": dict(capsule.versions),
        "digest": _digest(tensors),
    }
    with whole_file(path) as file:
        file.write(save(tensors, {"format": FORMAT, "about": json.dumps(about)}))


def read_capsule(path: Path) -> Capsule:
    """The capsule in a file, or in the folder of a run; every byte is checked.

    Raises:
        CapsuleError: If there is none, it is damaged or cut short, or is not one of ours.
    """
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise CapsuleError(
            f"There is no capsule at {path}.",
            expected=f"A file that `budwood train` wrote, or a folder with {FILE_NAME} in it.",
            file=path,
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as problem:
        raise CapsuleError(
            f"{path} is damaged or cut short ({problem}).",
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
    about = json.loads(metadata["about"])
    if _digest(tensors) != about["digest"]:
        raise CapsuleError(
            f"{path} has changed since it was made: its content does not match its digest.",
            next="Copy it again from where it was made.",
            file=path,
        )
    return Capsule(
        origin=Origin.from_json(about["origin"]),
        preprocessing=Preprocessing.from_json(about["preprocessing"]),
        classes=tuple(about["classes"]),
        state={k[8:]: v for k, v in tensors.items() if k.startswith("network.")},
        trainable=tuple(about["trainable"]),
        precision=about["precision"],
        golden=_goldens(tensors),
        tolerances=about["tolerances"],
        data=about["data"],
        metrics=about["metrics"],
        versions=about["versions"],
    )


def draw_golden_images(count: int = 8, seed: int = 0) -> list[bytes]:
    """Pictures to test a network with: drawn shapes and colours, nobody's photos, as PNG bytes."""
    rng = np.random.default_rng(seed)
    return [_drawn(rng) for _ in range(count)]


def installed_versions() -> dict[str, str]:
    """Versions of what a capsule depends on."""
    libraries = ("budwood", "torch", "torchvision", "timm", "openvino", "safetensors")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}


def data_fingerprint(photos: Sequence[bytes], labels: Sequence[str]) -> str:
    """A digest of a set of labelled photos; their order and their file names do not matter."""
    hasher = hashlib.blake2b(digest_size=16)
    for photo, label in sorted(zip(photos, labels, strict=True)):
        hasher.update(photo + label.encode() + b"\0")
    return hasher.hexdigest()


def capsule_json(capsule: Capsule) -> dict[str, Any]:
    """What a capsule says of itself, without its tensors."""
    fields = asdict(capsule)
    for name in ("state", "golden"):
        del fields[name]
    return fields | {
        "origin": capsule.origin.to_json(),
        "preprocessing": capsule.preprocessing.to_json(),
    }


def _goldens(tensors: Mapping[str, Tensor]) -> tuple[Golden, ...]:
    count = sum(name.endswith(".image") for name in tensors)
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


def _digest(tensors: Mapping[str, Tensor]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _drawn(rng: np.random.Generator) -> bytes:
    """A colour gradient with shapes on it, more or less sharp, 320 x 280."""
    corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), np.uint8))
    image = corners.resize((320, 280), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        x, y = (int(v) for v in rng.integers(-20, 280, 2))
        w, h = (int(v) for v in rng.integers(8, 160, 2))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + w, y + h), fill=(red, green, blue))
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 3))))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
