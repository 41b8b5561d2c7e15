"""Rows in memory and drawn photos for the tests of this folder."""

import pytest
import torch

from budwood.capsule.golden import draw_golden_images
from budwood.features.engines import EngineSpec


class Rows:
    """Frontier tensors in memory, as a `RowSource`."""

    def __init__(self, *tensors: torch.Tensor, axes: tuple[int | None, ...] = ()) -> None:
        self._tensors = tensors
        self.axes = axes

    def __len__(self) -> int:
        return len(self._tensors[0])

    def take(self, positions):
        where = torch.as_tensor(list(positions))
        return tuple(tensor[where] for tensor in self._tensors)


@pytest.fixture
def rows():
    return Rows


@pytest.fixture
def images(tmp_path):
    """`images(n)`: the paths of n drawn pictures."""

    def draw(count: int, seed: int = 0):
        paths = []
        for i, image in enumerate(draw_golden_images(count, seed)):
            path = tmp_path / f"{seed}-{i:03}.png"
            path.write_bytes(image)
            paths.append(path)
        return paths

    return draw


@pytest.fixture
def torch_engine(monkeypatch):
    """Trunks run in fp32 torch only: exact, and quick to build."""
    specs = [EngineSpec("torch", "fp32")]
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)
