"""No engine is trusted that does not agree with fp32 torch."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from budwood.errors import EngineError
from budwood.features import verification
from budwood.features.engines import EngineSpec, build_engine
from budwood.features.torch_engine import TorchEngine
from budwood.features.verification import (
    PROBES,
    TOLERANCE,
    spread_error,
    varied,
    verified_engine,
)
from budwood.reporter import SILENT, Reporter

TORCH = EngineSpec("torch", "fp32")
OPENVINO = EngineSpec("openvino", "fp32")


@dataclass
class Wrong:
    """An engine that goes through torch, and then wrong."""

    right: TorchEngine
    fault: str
    spec = OPENVINO
    batch = 4

    def run(self, pixels):
        if self.fault == "channels swapped":
            return self.right.run(pixels[..., ::-1])
        (rows,) = self.right.run(pixels)
        if self.fault == "writes":
            pixels[:] = 0
        if self.fault == "nan":
            rows[0, 0] = np.nan
        if self.fault == "order":
            rows = rows[::-1]
        if self.fault == "raises":
            raise RuntimeError("no memory\nat some line of C++")
        if self.fault == "raises nothing":
            raise RuntimeError
        shapes = {"shape": (rows[:, 1:],), "outputs": (rows, rows)}
        return shapes.get(self.fault, (rows,))


FAULTS = {
    "channels swapped": "disagrees with torch fp32",
    "order": "disagrees with torch fp32",
    "nan": "error inf of the spread",
    "shape": "error inf of the spread",
    "outputs": "2 outputs for 1",
    "writes": "it writes to the photos it is given",
    "raises": "cannot run this network (no memory)",
    "raises nothing": "cannot run this network (RuntimeError",
}


@pytest.fixture
def wrong(monkeypatch):
    """From now on OpenVINO has this fault."""

    def break_it(fault):
        def build(trunk, spec, example, key):
            right = build_engine(trunk, TORCH, example)
            return Wrong(right, fault) if spec.library == "openvino" else right

        monkeypatch.setattr(verification, "build_engine", build)

    return break_it


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_engine_is_refused_and_said(fault, wrong, trunk, pixels):
    wrong(fault)
    notes = []
    probe = pixels(8)
    engine, verdict = verified_engine(
        trunk(), [OPENVINO, TORCH], probe, Reporter(note=notes.append)
    )
    assert engine.spec == verdict.spec == TORCH
    (note,) = notes
    assert FAULTS[fault] in note
    np.testing.assert_array_equal(probe, pixels(8))


def test_the_first_engine_that_agrees_is_taken(trunk, pixels):
    notes = []
    engine, verdict = verified_engine(
        trunk(), [OPENVINO, TORCH], pixels(8), Reporter(note=notes.append)
    )
    assert engine.spec == OPENVINO
    assert verdict.is_verified
    assert "agrees with torch fp32" in str(verdict)
    assert notes == []


def test_a_trunk_that_openvino_cannot_take_falls_back(pixels):
    class Bessel(nn.Module):
        def forward(self, batch):
            return (torch.special.bessel_j0(batch.float().mean((1, 2))),)

    notes = []
    engine, _ = verified_engine(Bessel(), [OPENVINO, TORCH], pixels(8), Reporter(note=notes.append))
    assert engine.spec == TORCH
    assert "aten::special_bessel_j0" in notes[0]
    assert notes[0].endswith("falling back.")


def test_no_engine_left_is_an_error(wrong, trunk, pixels):
    wrong("nan")
    with pytest.raises(EngineError, match=r"None of openvino fp32 agrees .* Use --device cpu"):
        verified_engine(trunk(), [OPENVINO], pixels(8), SILENT)


def test_a_network_that_gives_nan_is_an_error(trunk, tiny, pixels):
    network = tiny()
    nn.init.constant_(network.features[0].weight, float("nan"))
    with pytest.raises(EngineError, match="Check the weights and that they belong"):
        verified_engine(trunk(network), [OPENVINO, TORCH], pixels(8), SILENT)


@pytest.mark.parametrize("count", [1, 2, 5, 8, 12])
def test_a_probe_of_any_size_is_enough(count, trunk, pixels):
    notes = []
    verified_engine(trunk(), [OPENVINO, TORCH], pixels(count), Reporter(note=notes.append))
    assert notes == []


@pytest.mark.parametrize("value", [0, 128, 255])
def test_equal_photos_are_enough(value, trunk):
    notes = []
    probe = np.full((8, 32, 32, 3), value, np.uint8)
    engine, _ = verified_engine(trunk(), [OPENVINO, TORCH], probe, Reporter(note=notes.append))
    assert engine.spec == OPENVINO


def test_one_photo_shows_swapped_channels(wrong, trunk, pixels):
    wrong("channels swapped")
    engine, _ = verified_engine(trunk(), [OPENVINO, TORCH], pixels(1), SILENT)
    assert engine.spec == TORCH


def test_a_network_that_ignores_the_photo_can_be_run(trunk, tiny, pixels):
    network = tiny()
    nn.init.zeros_(network.features[2].weight)
    nn.init.constant_(network.features[2].bias, 3.0)
    notes = []
    verified_engine(trunk(network), [OPENVINO, TORCH], pixels(8), Reporter(note=notes.append))
    assert notes == []


@pytest.mark.parametrize("scale", [1e-7, 1e-12])
def test_tiny_activations_are_judged_like_others(scale, wrong, trunk, tiny, pixels):
    network = tiny()
    for layer in (network.features[0], network.features[2]):
        nn.init.zeros_(layer.bias)
        layer.weight.data *= scale**0.5
    notes = []
    specs = [OPENVINO, TORCH]
    engine, _ = verified_engine(trunk(network), specs, pixels(8), Reporter(note=notes.append))
    assert engine.spec == OPENVINO
    wrong("channels swapped")
    engine, _ = verified_engine(trunk(network), specs, pixels(8), Reporter(note=notes.append))
    assert engine.spec == TORCH


@given(st.floats(1e-12, 1e6), st.floats(0, 0.5), st.integers(0, 9))
def test_the_error_does_not_depend_on_scale(scale, share, seed):
    random = np.random.default_rng(seed)
    reference = random.normal(5, 1, (8, 10))
    noise = random.normal(0, 1, (8, 10))
    spread = np.linalg.norm(reference - reference.mean(0))
    candidate = reference + share * noise * spread / np.linalg.norm(noise)
    assert spread_error(reference * scale, candidate * scale) == pytest.approx(share, abs=1e-9)


def test_what_all_photos_share_hides_no_error():
    reference = np.random.default_rng(0).normal(0, 1, (8, 10))
    assert spread_error(reference + 1000, reference[::-1] + 1000) > TOLERANCE


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_wrong(value):
    reference = np.ones((2, 3))
    candidate = reference.copy()
    candidate[0, 0] = value
    assert spread_error(reference, candidate) == float("inf")


def test_equal_rows_must_come_back_equal():
    reference = np.ones((4, 3), np.float32)
    assert spread_error(reference, reference * (1 + 1e-6)) == 0
    assert spread_error(reference, reference * 1.1) == float("inf")
    assert spread_error(reference * 0, reference * 0) == 0
    assert spread_error(reference * 0, reference) == float("inf")


def test_what_differs_by_rounding_alone_is_equal():
    random = np.random.default_rng(0)
    reference, candidate = (np.float32(3 + 2e-7 * random.normal(size=(8, 50))) for _ in "fg")
    assert 0 < np.linalg.norm(reference - reference.mean(0)) < 1e-4
    assert spread_error(reference, candidate) == 0


def test_equal_photos_are_varied(pixels):
    probe = varied(pixels(1).repeat(9, axis=0))
    assert len({image.tobytes() for image in probe}) == 4


@pytest.mark.parametrize("count", [1, 3, 8, 9])
def test_a_varied_probe_begins_with_the_photos_given(count, pixels):
    probe = varied(pixels(count))
    np.testing.assert_array_equal(probe[:count], pixels(count))
    assert min(PROBES, 4 * count) <= len(probe) <= max(PROBES, count)
