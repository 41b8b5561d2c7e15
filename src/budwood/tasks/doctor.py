"""What this machine can do, whether it does it right, and what training on some photos will take.

Nothing is changed: no file is written, no weights are downloaded.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from budwood.data.deep_images import depth_notes, depth_of, extents_of
from budwood.data.folder import load_folder
from budwood.data.labels import Note
from budwood.display import displayed
from budwood.evaluation.folder_checks import Problem, folder_problems
from budwood.features.engine_choice import EngineCheck, check_engines, gpus
from budwood.features.engine_trial import TimedNetwork, timed_networks
from budwood.features.engines import offered
from budwood.features.store import store_folder, stored_bytes, stored_makers
from budwood.features.torch_engine import devices
from budwood.features.trunks import kept_trunks
from budwood.learning.forecasting import TimeForecast, forecasts
from budwood.machine import Machine, installed_version, machine
from budwood.models.candidates import LocalWeights, at_hand
from budwood.text import aligned, byte_size, duration

LIBRARIES = (
    "budwood", "torch", "torchvision", "timm", "openvino", "numpy", "scikit-learn", "pillow",
    "simplejpeg", "safetensors",
)  # fmt: skip
"""Whose versions decide on what comes out, and how fast."""
SAMPLED = 100
"""Photos whose depth is measured."""


@displayed
@dataclass(frozen=True)
class Store:
    """Where features are kept."""

    folder: Path
    bytes: int
    entries: int
    trunk_bytes: int
    """Of the converted networks beside it."""


@displayed
@dataclass(frozen=True)
class ImageCheck:
    """A folder of photos: what training on it will take, and what is wrong with it."""

    data: Path
    model: str
    training: int
    judged: int
    classes: tuple[str, ...]
    forecasts: tuple[TimeForecast, ...]
    sampled: int
    """Photos that were decoded."""
    measured_seconds: float
    problems: tuple[Problem, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "data": str(self.data),
            "model": self.model,
            "images": {"train": self.training, "evaluated": self.judged},
            "classes": list(self.classes),
            "forecasts": [forecast.to_json() for forecast in self.forecasts],
            "sampled": self.sampled,
            "measured_seconds": self.measured_seconds,
            "problems": [problem.to_json() for problem in self.problems],
        }


@displayed
@dataclass(frozen=True)
class Diagnosis:
    """All that was found out."""

    machine: Machine
    libraries: dict[str, str]
    engines: tuple[EngineCheck, ...]
    gpus: tuple[str, ...]
    store: Store
    weights: tuple[LocalWeights, ...]
    timed: tuple[TimedNetwork, ...] = ()
    images: ImageCheck | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of `doctor --json`; see docs/json.md."""
        return {
            "machine": self.machine.to_json(),
            "libraries": self.libraries,
            "engines": [engine.to_json() for engine in self.engines],
            "timed": [one.to_json() for one in self.timed],
            "gpus": list(self.gpus),
            "store": {
                "folder": str(self.store.folder),
                "bytes": self.store.bytes,
                "entries": self.store.entries,
                "trunk_bytes": self.store.trunk_bytes,
                "disk_free_bytes": self.machine.disk_free_bytes,
            },
            "weights": [
                {
                    "model": one.architecture.name,
                    "weights": one.weights,
                    "is_default": one.is_default,
                    "bytes": one.bytes,
                }
                for one in self.weights
            ],
            "dataset": self.images and self.images.to_json(),
        }

    def __str__(self) -> str:
        parts = [aligned(list(self._facts()), words=2)]
        if self.images is not None:
            parts += [_forecast_text(self.images), _problem_text(self.images)]
        return "\n\n".join(parts)

    def _facts(self) -> Iterator[tuple[str, str]]:
        here = self.machine
        memory = "unknown" if here.memory_bytes is None else byte_size(here.memory_bytes)
        free = here.memory_free_bytes
        yield "Machine", f"{here.processor}, {here.cores} cores, {here.system}"
        yield "Memory", memory + ("" if free is None else f", {byte_size(free)} free")
        yield (
            "Libraries",
            f"Python {here.python}, "
            + ", ".join(f"{name} {number}" for name, number in list(self.libraries.items())[:5]),
        )
        for i, engine in enumerate(self.engines):
            yield "Engines" if i == 0 else "", str(engine)
        for i, timed in enumerate(self.timed):
            yield "" if i else "Timed", str(timed)
        yield "GPU", ", ".join(self.gpus) or "none that torch finds"
        yield (
            "Store",
            f"{self.store.folder}: {byte_size(self.store.bytes)} in {self.store.entries} entries, "
            f"{byte_size(self.store.trunk_bytes)} of converted networks",
        )
        yield "", f"{byte_size(here.disk_free_bytes)} of disk are free; limit it with --store-limit"
        for i, one in enumerate(self.weights):
            name = one.architecture.name + ("" if one.is_default else f" ({one.weights})")
            yield "Weights" if i == 0 else "", f"{name}, {byte_size(one.bytes)}"
        if not self.weights:
            yield "Weights", "none: the first training downloads some, or use --weights none"


def doctor(
    data: Path | str | None = None,
    *,
    model: str = "efficientnet_lite0",
    started: float | None = None,
) -> Diagnosis:
    """How this machine is, and, with photos, what training will take and what is wrong with them.

    Args:
        data: Folder or CSV file of photos.
        model: The network that forecasts are made for.
        started: `time.perf_counter()` when the process started, for the forecasts.

    Raises:
        DataError: If nothing can be learned from the folder, or no photo of a sample can be read.
        UnknownName: If no network is called so.
    """
    starting = 0.0 if started is None else time.perf_counter() - started
    images = None if data is None else _checked(Path(data), model, starting)
    entries = list(stored_makers())
    return Diagnosis(
        machine(),
        {name: installed_version(name) for name in LIBRARIES},
        check_engines(),
        gpus(),
        Store(store_folder(), stored_bytes(), len(entries), sum(size for _, size in kept_trunks())),
        at_hand(),
        tuple(timed_networks([spec for device in devices() for spec in offered(device)])),
        images,
    )


def _checked(data: Path, model: str, starting: float) -> ImageCheck:
    # Looking for groups and measuring depth would keep what they find.
    folder = load_folder(data, find_groups=False, find_depth=False)
    folder = replace(folder, notes=(*folder.notes, *_depth_notes(folder.train.paths)))
    judged = len(folder.test or ()) + len(folder.val or ())
    found, times, seconds = forecasts(model, len(folder.classes), folder.train.paths, judged)
    found = tuple(one.after(starting) for one in found)
    return ImageCheck(
        data,
        model,
        len(folder.train),
        judged,
        folder.classes,
        found,
        times.images,
        seconds,
        (*folder_problems(folder, times.unreadable, times.images), *_shortages(found)),
    )


def _depth_notes(train: Sequence[Path]) -> list[Note]:
    """What a sample of the training photos says of those of more than 8 bits."""
    sample = train[:: max(1, len(train) // SAMPLED)]
    extents = extents_of(sample)
    return depth_notes(depth_of(extents.values()), sample, extents)


def _shortages(found: tuple[TimeForecast, ...]) -> Iterator[Problem]:
    here = machine()
    for one in found:
        if here.memory_free_bytes is not None and one.memory_bytes > here.memory_free_bytes:
            yield Problem(
                "memory",
                f"To train the {one.trains} takes {byte_size(one.memory_bytes)} of memory, and "
                f"{byte_size(here.memory_free_bytes)} are free.",
                "Close other programs, or take a smaller network or --batch-size.",
            )
        if one.stored_bytes > here.disk_free_bytes:
            yield Problem(
                "disk",
                f"To train the {one.trains} stores {byte_size(one.stored_bytes)}, and "
                f"{byte_size(here.disk_free_bytes)} of disk are free.",
                "Make room, or set BUDWOOD_HOME to a folder on another disk.",
            )


def _forecast_text(images: ImageCheck) -> str:
    head = ("what trains", "options", "parameters", "time", "memory", "stored")
    rows = [
        (
            one.trains,
            " ".join(f"--unfreeze '{glob}'" for glob in one.unfreeze),
            f"{one.parameters:,}",
            duration(one.seconds),
            byte_size(one.memory_bytes),
            byte_size(one.stored_bytes),
        )
        for one in images.forecasts
    ]
    return (
        f"{images.training:,} photos to train on and {images.judged:,} to judge by, of "
        f"{len(images.classes)} classes. A first training of {images.model} will take about:\n"
        + aligned([head, *rows], words=2)
    )


def _problem_text(images: ImageCheck) -> str:
    if not images.problems:
        return f"Nothing is wrong with the photos, as far as {images.sampled} of them show."
    return "\n".join(["Problems:", *(f"  {problem}" for problem in images.problems)])
