"""Capsules that were written before: they load, give the same answers, and verify."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import budwood as bw
from budwood.capsule.pack import read_capsule
from budwood.evaluation.held_out_statistics import HeldOutStatistics

CAPSULES = sorted((Path(__file__).parent / "data").glob("capsule-*.safetensors"))

every_version = pytest.mark.parametrize("path", CAPSULES, ids=lambda path: path.stem)


def test_there_is_a_capsule_of_the_first_version():
    assert "capsule-0.1.0" in [path.stem for path in CAPSULES]


@every_version
def test_it_gives_the_logits_it_gave_when_it_was_made(path):
    expected = json.loads(path.with_suffix(".json").read_text("utf-8"))
    capsule, model = read_capsule(path), bw.load(path)
    assert list(model.classes_) == expected["classes"]
    pixels = np.stack([model.preprocessing.pixels(golden.image) for golden in capsule.golden])
    logits = model.plan.answers_exactly(pixels)
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=0, atol=1e-3)


@every_version
def test_it_verifies(path):
    verification = bw.verify(path)
    assert verification.passed
    assert verification.images == 6


@every_version
def test_what_held_out_images_said_is_there(path):
    statistics = read_capsule(path).statistics
    assert isinstance(statistics, HeldOutStatistics)
    assert statistics.temperature == pytest.approx(2.58775, abs=1e-4)
    assert len(statistics.confidence) == len(statistics.wrong) == len(statistics.ood) == 24
    assert statistics.ood_detector is not None


IMPORTED = "import sys; {code}; print([m for m in ('torch', 'openvino') if m in sys.modules])"


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("from budwood.capsule.format import read_answering; read_answering(P(F))", "[]"),
        ("from budwood.capsule.pack import read_capsule; read_capsule(P(F))", "['torch']"),
    ],
)
def test_reading_one_imports_no_more_than_it_needs(code, imported):
    code = f"from pathlib import Path as P; F = {str(CAPSULES[0])!r}; {code}"
    command = [sys.executable, "-c", IMPORTED.format(code=code)]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == imported
