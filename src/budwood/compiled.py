"""A saved classifier that answers without torch, where its trunk has been compiled before.

Importing torch takes longer than anything else about the prediction of one photo. A capsule says
what its trunk computes and which layers follow it; where this machine has that trunk converted, and
has trusted an engine with it, nothing else is needed, and nothing else of the capsule is read.

A few photos want another graph than the many that an engine is trusted with. It has to give the
answers to the capsule's golden images first; that is remembered beside the trunk.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from budwood.capsule_digest import Part, answering_tensors, capsule_digest
from budwood.features.engines import (
    QUICK_BATCH,
    SLOW_BATCH,
    Engine,
    preferred_specs,
    trust_name,
)
from budwood.features.extraction import OnProgress, in_batches
from budwood.features.openvino import OpenVINOEngine
from budwood.features.reading_ahead import decoded
from budwood.features.spread import spread_error
from budwood.features.trunks import Trunk, is_trusted, kept_trunk, note_trust, trunk_key
from budwood.files import CAPSULE
from budwood.images.oddities import Oddities
from budwood.images.preprocessing import Preprocessing
from budwood.judging.trust import Answers, Trust, trust_in


@dataclass(frozen=True)
class CompiledClassifier:
    """A classifier whose trunk is compiled and whose head is a few matrices."""

    classes: tuple[str, ...]
    is_random: bool
    """True if the frozen weights are random."""
    preprocessing: Preprocessing
    engine: Engine
    chain: tuple[tuple[str, str], ...]
    layers: Mapping[str, NDArray[np.float32]]
    """Weights and biases of the chain, by name."""
    trust: Trust | None = None
    """How far its word can be taken."""

    def answers(
        self,
        paths: Sequence[Path],
        on_progress: OnProgress | None = None,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> Answers:
        """Logits of the photos that can be read, in order, which of them are out of distribution,
        and the files that cannot be read."""
        broken: dict[Path, str] = {}
        parts = [np.empty((0, len(self.classes)), np.float32)]
        ood = [np.empty(0, np.bool_)]
        known = None if self.trust is None else self.trust.familiar
        odd = Oddities()
        with closing(decoded(paths, self.preprocessing, broken, odd=odd)) as photos:
            batches = in_batches(photos, len(paths), SLOW_BATCH, broken, on_progress)
            with closing(self.engine.stream(batches)) as results:
                for _, (rows, *_) in results:
                    parts.append(self.head(rows))
                    if known is not None:
                        ood.append(known.is_strange(rows))
        for line in odd.lines():
            on_note(line)
        return Answers(
            np.concatenate(parts), None if known is None else np.concatenate(ood), broken
        )

    def head(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The chain's answer to rows `n d`."""
        for kind, name in self.chain:
            if kind == "relu":
                rows = np.maximum(rows, 0)
            else:
                rows = rows @ self.layers[f"{name}.weight"].T + self.layers.get(f"{name}.bias", 0)
        return rows


def compiled_classifier(
    path: Path, photos: int, on_note: Callable[[str], None] = lambda note: None
) -> CompiledClassifier | None:
    """The classifier in a capsule, or in the folder of a run, without torch.

    None where that cannot be: the graft is no chain of layers, this machine has not compiled the
    trunk, no engine was trusted with it, or the capsule is not one that can be read like this;
    `classifier.load` then does it, or says what is wrong.

    Args:
        path: A capsule or the folder of a run.
        photos: How many it will be asked about.
        on_note: Told if the graph for a few photos disagrees, and is not used.
    """
    read = _read(path / CAPSULE if path.is_dir() else path)
    if read is None:
        return None
    about, tensors = read
    trunk, preprocessing = about["trunk"], Preprocessing.from_json(about["preprocessing"])
    shape = (*preprocessing.size, len(preprocessing.mean))
    key = trunk_key(trunk.keys, shape)
    specs = [s for s in preferred_specs("auto", "cpu") if s.library == "openvino"]
    spec = next((spec for spec in specs if is_trusted(key, trust_name(spec))), None)
    model = kept_trunk(key)
    if spec is None or model is None:
        return None
    batch = max(1, min(SLOW_BATCH, photos))
    found = CompiledClassifier(
        classes=tuple(about["classes"]),
        is_random=about["origin"]["weights"] == "none",
        preprocessing=preprocessing,
        engine=OpenVINOEngine(model, spec, batch=batch, latency=True),
        chain=trunk.chain,
        layers=tensors,
        trust=trust_in(about, tensors),
    )
    graph = f"{trust_name(spec)}, {batch} at a time"
    if is_trusted(key, graph):
        return found
    error, tolerance = _golden_error(found, tensors), about["tolerances"][spec.precision]
    if error <= tolerance:
        note_trust(key, graph)
        return found
    on_note(
        f"{spec} for a few photos disagrees with the golden images of {path} (error {error:.3f} "
        f"of the spread, tolerance {tolerance:g}); it runs as for many."
    )
    return replace(found, engine=OpenVINOEngine(model, spec, batch=QUICK_BATCH))


def _golden_error(found: CompiledClassifier, tensors: Mapping[str, NDArray[Any]]) -> float:
    """How far its answers to the golden images are from those that the capsule holds, as a share of
    their spread."""
    count = sum(bool(re.fullmatch(r"golden\.\d+\.image", name)) for name in tensors)
    images = [tensors[f"golden.{i}.image"].tobytes() for i in range(count)]
    expected = np.stack([tensors[f"golden.{i}.logits"] for i in range(count)])
    pixels = np.stack([found.preprocessing.pixels(image) for image in images])
    return spread_error(expected, found.head(found.engine.run(pixels)[0]))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """What a capsule says, and the tensors that answer; None of any other file, or if these have
    changed."""
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            about = json.loads(metadata["about"])
            about["trunk"] = trunk = Trunk.from_json(about["trunk"])
            names, digest = list(file.keys()), metadata.get("answer_digest")
            if digest is None:  # capsules of 0.1.0 have the digest of everything only
                digest = metadata.get("digest")
            else:
                names = answering_tensors(names, trunk.chain)
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None
    if capsule_digest(map(_part, tensors.items()), metadata["about"]) != digest:
        return None
    return about, tensors


def _part(item: tuple[str, NDArray[Any]]) -> Part:
    name, values = item
    return name, f"torch.{values.dtype}", values.shape, np.ascontiguousarray(values)
