"""A capsule as a file: its layout and its digests, known here only.

    network.*        every weight and buffer
    golden.N.image   the bytes of an image file
    golden.N.logits  what the network said to it, in fp32
    trust.*          what held-out images said of it: see evaluation/held_out_statistics.py
    int8.*           of a trunk in int8: its graph and weights, and what it said to the images
    metadata         `format`; `about`, one JSON object with all the rest; `digest` of everything;
                     `answer_digest` of what answers on a compiled trunk

It is a safetensors file, never a pickle: reading one cannot run code. The digests are the same
whether torch or NumPy has read it. That of everything is checked by whoever loads a network. Where
the trunk is compiled already the network is of no use: what answers then has a digest of its own,
and is all that is read and checked.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from budwood.errors import CapsuleError
from budwood.files import CAPSULE, whole_file

FORMAT = "budwood-capsule-1"
NETWORK = "network."
"""What the names of the network's tensors begin with."""
INT8_GRAPH, INT8_WEIGHTS, INT8_LOGITS = "int8.graph", "int8.weights", "int8.logits"
"""A trunk in int8, and the answers with it."""


@dataclass(frozen=True)
class Golden:
    """An image, and what the network said to it when the capsule was made."""

    image: bytes
    logits: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class CapsuleContents:
    """What a file holds."""

    about: dict[str, Any]
    tensors: Mapping[str, Any]
    """By name, torch's or NumPy's."""

    @property
    def golden(self) -> tuple[Golden, ...]:
        """The golden images, in order."""
        count = sum(re.fullmatch(r"golden\.\d+\.image", name) is not None for name in self.tensors)
        return tuple(
            Golden(
                np.asarray(self.tensors[f"golden.{i}.image"]).tobytes(),
                tuple(self.tensors[f"golden.{i}.logits"].tolist()),
            )
            for i in range(count)
        )

    def named(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Tensors whose names begin so, as arrays."""
        return {n: np.asarray(t) for n, t in self.tensors.items() if n.startswith(prefix)}


def capsule_file(path: Path) -> Path:
    """The capsule itself, of one or of the folder of a run."""
    return path / CAPSULE if path.is_dir() else path


def about_in(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """What a safetensors file says of itself, if it is a capsule."""
    if metadata.get("format") != FORMAT:
        return None
    about = json.loads(metadata["about"])
    if not isinstance(about, dict):
        raise ValueError("what it says of itself is no object")
    return about


def write(
    path: Path,
    state: Mapping[str, Any],
    golden: Sequence[Golden],
    arrays: Mapping[str, NDArray[Any]],
    about: Mapping[str, Any],
) -> None:
    """Put a capsule into a file, whole or not at all."""
    import torch
    from safetensors.torch import save_file

    tensors = _apart({NETWORK + k: v.detach().cpu().contiguous() for k, v in state.items()})
    for i, one in enumerate(golden):
        tensors[f"golden.{i}.image"] = torch.frombuffer(bytearray(one.image), dtype=torch.uint8)
        tensors[f"golden.{i}.logits"] = torch.tensor(one.logits)
    tensors |= {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    text = json.dumps(about)
    metadata = {"format": FORMAT, "about": text, "digest": digest(tensors, text)}
    if about["trunk"] is not None:
        names = answering_tensors(tensors, about["trunk"]["chain"])
        metadata["answer_digest"] = digest({name: tensors[name] for name in names}, text)
    with whole_file(path) as file:
        save_file(tensors, file.name, metadata)  # from where they lie, without a copy


def read(path: Path) -> CapsuleContents:
    """All that a capsule holds, with torch; every byte is checked."""
    path = capsule_file(path)
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
    if digest(tensors, metadata.get("about", "")) != metadata.get("digest"):
        raise CapsuleError(
            f"{path} has changed since it was made: its content does not match its digest.",
            next="Copy it again from where it was made.",
            file=path,
        )
    try:
        return CapsuleContents(about_in(metadata) or {}, tensors)
    except (ValueError, LookupError, TypeError) as problem:
        raise not_ours(path, problem) from None


def read_answering(path: Path) -> CapsuleContents | None:
    """What answers on a compiled trunk, without torch; None of a file without that, or one that is
    no capsule or has changed."""
    try:
        with safe_open(capsule_file(path), "np") as file:
            metadata = file.metadata() or {}
            about = json.loads(metadata["about"])
            names, expected = list(file.keys()), metadata.get("answer_digest")
            if expected is None:  # the first capsules have the digest of everything only
                expected = metadata.get("digest")
            else:
                names = answering_tensors(names, about["trunk"]["chain"])
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None
    return (
        CapsuleContents(about, tensors) if digest(tensors, metadata["about"]) == expected else None
    )


def not_ours(path: Path, problem: Exception) -> CapsuleError:
    """The error of a file whose digest is right and whose content makes no sense."""
    return CapsuleError(
        f"{path} is no capsule that Budwood wrote ({type(problem).__name__}: {problem}).",
        next="Make it again with `budwood train`.",
        file=path,
    )


def digest(tensors: Mapping[str, Any], about: str) -> str:
    """A digest of tensors, torch's or NumPy's, and of what a capsule says of itself."""
    hasher = hashlib.blake2b(about.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        kind, values = _typed(tensor)
        hasher.update(f"{name} {kind} {tuple(tensor.shape)}".encode())
        if values.size:
            hasher.update(values.reshape(-1).view("u1").data)
    return hasher.hexdigest()


def answering_tensors(names: Iterable[str], chain: Sequence[Sequence[str]]) -> list[str]:
    """The tensors of a capsule that answers on a compiled trunk: layers of the chain behind it,
    golden images, and what is known of its trust.

    Example:
        >>> names = ["golden.0.image", "network.conv.weight", "network.fc.weight", "trust.wrong"]
        >>> answering_tensors(names, [("linear", "network.fc")])
        ['golden.0.image', 'network.fc.weight', 'trust.wrong']
    """
    layers = {f"{name}.{part}" for _, name in chain for part in ("weight", "bias")}
    begin = ("golden.", "trust.", INT8_LOGITS)
    return [n for n in names if n in layers or n.startswith(begin)]


def _typed(tensor: Any) -> tuple[str, NDArray[Any]]:
    """Torch's name of a tensor's type, and its values in any type of as many bytes."""
    if isinstance(tensor, np.ndarray):
        return f"torch.{tensor.dtype}", np.ascontiguousarray(tensor)
    import torch

    flat = tensor.contiguous().reshape(-1)
    return str(tensor.dtype), (flat.view(torch.uint8) if flat.numel() else flat.byte()).numpy()


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """Tensors that share memory, as tied weights do, each with memory of its own."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[name] = tensor.clone()
        seen.add(place)
    return tensors
