"""A whole training reads each file once, from the folder to the last judgement."""

import collections
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import budwood as bw
from budwood.features.engines import EngineSpec
from budwood.images import contents
from budwood.images.contents import Contents, digest
from budwood.images.preprocessing import Preprocessing
from budwood.learning.probe import Probe
from budwood.models.info import set_info

LONG_AGO = 1_600_000_000_123_456_789


class Small(nn.Module):
    preprocessing = Preprocessing(size=(32, 32), resize=32, mean=(0.5,) * 3, std=(0.5,) * 3)

    def __init__(self):
        super().__init__()
        set_info(self, preprocessing=self.preprocessing)
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.ReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / ("cats", "dogs")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = random.integers(0, 256, (5, 6, 3)).repeat(8, 0).repeat(8, 1)
        picture[..., i % 2] //= 2
        Image.fromarray(picture.astype(np.uint8)).save(path)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return tmp_path / "photos"


@pytest.fixture
def reads(monkeypatch):
    """How often each picture was read."""
    seen, real = collections.Counter(), Path.read_bytes

    def counted(self):
        if self.suffix == ".png":
            seen[self] += 1
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", counted)
    specs = [EngineSpec("torch", "fp32")]
    monkeypatch.setattr("budwood.features.engine_choice.preferred_specs", lambda *a, **k: specs)
    return seen


def trained(folder):
    found = bw.load_folder(folder)
    network = bw.unfreeze(bw.freeze(Small(), "*"), "head").eval()
    model = bw.Classifier(network, probe=Probe(folds=2)).fit(found.train)
    return model, found, model.evaluate(found.test)


def test_a_training_reads_each_file_once_and_so_does_what_follows(folder, reads, monkeypatch):
    model, found, _ = trained(folder)
    assert len(reads) == 24
    assert set(reads.values()) == {1}
    model.evaluate(found.test)
    model.plan.training_rows(found.train.paths)
    assert set(reads.values()) == {1}
    assert not any(path in contents.CONTENTS for path in reads)  # no bytes stay behind

    reads.clear()  # another process knows the groups and the rows, and no digest
    anew = Contents()
    for module in ("data.duplicates", "data.duplicates", "features.extraction",
                   "features.gathering"):  # fmt: skip
        monkeypatch.setattr(f"budwood.{module}.CONTENTS", anew)
    found = bw.load_folder(folder)
    model.plan.training_rows(found.train.paths)
    model.evaluate(found.test)
    assert len(reads) == 24
    assert set(reads.values()) == {1}

    path, other = found.test.paths[0], found.train.paths[0].read_bytes()
    path.write_bytes(other)
    reads.clear()
    assert model.plan.judging_rows(found.test.paths).images[0] == digest(other)
    assert reads == {path: 1}
