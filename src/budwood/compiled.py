"""A saved classifier that answers without torch, where its trunk has been compiled before.

Importing torch takes longer than anything else about the prediction of one photo. A capsule says
what its trunk computes and which layers follow it; where this machine has that trunk converted, and
has trusted an engine with it, nothing else is needed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from budwood.capsule_digest import Part, capsule_digest
from budwood.features.engines import SLOW_BATCH, Engine, preferred_specs, trust_name
from budwood.features.extraction import OnProgress, in_batches
from budwood.features.openvino import OpenVINOEngine
from budwood.features.reading_ahead import decoded
from budwood.features.trunks import Trunk, is_trusted, kept_trunk, trunk_key
from budwood.images.oddities import Oddities
from budwood.images.preprocessing import Preprocessing
from budwood.judging.trust import Answers, Trust, trust_in
from budwood.places import CAPSULE


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
                    parts.append(self._head(rows))
                    if known is not None:
                        ood.append(known.is_strange(rows))
        for line in odd.lines():
            on_note(line)
        return Answers(
            np.concatenate(parts), None if known is None else np.concatenate(ood), broken
        )

    def _head(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The chain's answer to rows `n d`."""
        for kind, name in self.chain:
            if kind == "relu":
                rows = np.maximum(rows, 0)
            else:
                rows = rows @ self.layers[f"{name}.weight"].T + self.layers.get(f"{name}.bias", 0)
        return rows


def compiled_classifier(path: Path, photos: int) -> CompiledClassifier | None:
    """The classifier in a capsule, or in the folder of a run, without torch.

    None where that cannot be: the graft is no chain of layers, this machine has not compiled the
    trunk, no engine was trusted with it, or the capsule is not one that can be read like this;
    `classifier.load` then does it, or says what is wrong.

    Args:
        path: A capsule or the folder of a run.
        photos: How many it will be asked about.
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
    return CompiledClassifier(
        classes=tuple(about["classes"]),
        is_random=about["origin"]["weights"] == "none",
        preprocessing=preprocessing,
        engine=OpenVINOEngine(model, spec, batch=max(1, min(SLOW_BATCH, photos)), latency=True),
        chain=trunk.chain,
        layers=tensors,
        trust=trust_in(about, tensors),
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
    """What an intact capsule says, and its tensors; None of any other file."""
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(metadata["about"])
        about["trunk"] = Trunk.from_json(about["trunk"])
    except (SafetensorError, OSError, ValueError, LookupError, TypeError):
        return None
    if capsule_digest(map(_part, tensors.items()), metadata["about"]) != metadata.get("digest"):
        return None
    return about, tensors


def _part(item: tuple[str, NDArray[Any]]) -> Part:
    name, values = item
    return name, f"torch.{values.dtype}", values.shape, np.ascontiguousarray(values)
