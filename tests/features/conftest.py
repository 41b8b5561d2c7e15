"""Drawn photos, a tiny network with a trunk, and a gatherer that records what it says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from budwood.features.extraction import Progress
from budwood.features.gathering import Extraction, FeatureExtractor, FeatureSet
from budwood.features.store import stored_makers
from budwood.images.preprocessing import Preprocessing
from budwood.models.info import info, set_info
from budwood.models.prepared import Prepared
from budwood.reporter import Reporter
from budwood.surgery.cutting import Cut, cut
from budwood.surgery.freezing import freeze, unfreeze


class Tiny(nn.Module):
    """The smallest network with a trunk worth storing."""

    preprocessing = Preprocessing(
        size=(32, 32), resize=36, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
    )

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        set_info(self, preprocessing=self.preprocessing)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.features = nn.Sequential(
                nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()
            )
            self.classifier = nn.Linear(16, 2)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class TwoRows(Tiny):
    """The same with two frontier tensors of one shape, which only their order tells apart."""

    def forward(self, x):
        maps = self.features(x)
        return self.classifier(maps.mean((2, 3))) + self.classifier(maps.amax((2, 3)))


@dataclass
class Bench:
    """A gatherer, and what it said."""

    gatherer: FeatureExtractor
    notes: list[str]
    progress: list[Progress]

    def gather(self, paths: list[Path], **options: bool) -> FeatureSet:
        return self.gatherer.gather(paths, **options)

    def said(self, text: str) -> list[str]:
        return [note for note in self.notes if text in note]


def cut_of(network: nn.Module) -> Cut:
    freeze(network, "*")
    unfreeze(network, "classifier")
    return cut(Prepared(network, info(network).preprocessing).eval())


@pytest.fixture
def trunk():
    """The trunk of a network, from pixels to its frontier, classifier left out."""
    return lambda network=None: cut_of(network or Tiny()).trunk


@pytest.fixture
def tiny():
    return Tiny


@pytest.fixture
def two_rows():
    return TwoRows


@pytest.fixture
def bench():
    """Makes a gatherer for a network; without one, for the tiny network in fp32."""

    def make(network: nn.Module | None = None, **options) -> Bench:
        network = network or Tiny()
        notes, progress = [], []
        gatherer = FeatureExtractor(
            cut_of(network),
            info(network).preprocessing,
            Extraction(**{"precision": "fp32", **options}),
            Reporter(note=notes.append, progress=progress.append),
        )
        return Bench(gatherer, notes, progress)

    return make


@pytest.fixture
def draw(tmp_path):
    """Draws photos of coloured blocks: `draw(3)` the first three, `draw(2, first=3)` two more."""

    def make(count: int, first: int = 0, folder: str = "photos") -> list[Path]:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        paths = []
        for i in range(first, first + count):
            blocks = np.random.default_rng(i).integers(0, 256, (5, 6, 3), np.uint8)
            path = root / f"{i:03}.png"
            Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(path)
            paths.append(path)
        return paths

    return make


@pytest.fixture
def pixels():
    """Some photos as the tiny network takes them, `n 32 32 3`, read-only."""

    def make(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
        blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
        made = np.ascontiguousarray(blocks.repeat(size // 4, 1).repeat(size // 4, 2))
        made.flags.writeable = False
        return made

    return make


@pytest.fixture
def shards(budwood_home):
    """All shards in the store, sorted."""
    return lambda: sorted(path for maker in stored_makers() for path in maker.glob("*.safetensors"))
