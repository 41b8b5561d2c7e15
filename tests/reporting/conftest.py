"""Facts of an imagined run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from budwood.evaluation.calibration import reliability
from budwood.evaluation.metrics import evaluate_logits
from budwood.reporting.records import ListedImage, RunRecord
from budwood.reporting.report_data import Cell, DataIssue, Picture, ReportData
from budwood.settings import Settings

PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs="
CLASSES = ("daisy", "dog & <b>cat</b>", "rose")


def picture(label="daisy", predicted="rose", thumbnail=PIXEL, map=None):
    """A photo that is taken for another class."""
    return Picture(f"{label}/1.jpg", label, predicted, 0.9, thumbnail, map)


def result_of(classes, confusion, **changes):
    """What `train --json` prints of a run with such a matrix."""
    labels, logits = [], []
    for i, row in enumerate(confusion):
        for j, images in enumerate(row):
            labels += [i] * images
            logits += [np.eye(len(classes))[j].tolist()] * images
    names = [f"{i}.jpg" for i in range(len(labels))]
    test = evaluate_logits(torch.tensor(logits), torch.tensor(labels), classes, names)
    return {
        "model": "resnet50",
        "weights": "imagenet",
        "classes": list(classes),
        "precision": "bf16",
        "engine": "openvino",
        "images": {"train": 90, "val": 0, "test": len(labels), "unreadable": 1},
        "parameters": {"total": 1000, "trainable": 30},
        "epochs": [],
        "probe": {
            "l2_strength": 10.0,
            "loss": 0.1,
            "cross_validated_top1": 0.9,
            "candidates": [
                {"l2_strength": p, "loss": 0.3 + p / 500, "standard_error": 0.02, "top1": 0.9}
                for p in (100.0, 10.0, 1.0)
            ],
        },
        "train": {"top1": 1.0},
        "test": test.to_json(),
        "seconds": {"total": 12.0, "startup": 3.0, "features": 8.0, "fit": 1.0},
        "store": {"hits": 3, "misses": 100, "bytes": 5},
        "frozen_unchanged": True,
        "notes": ["photos: a note"],
        "warning": None,
        "kfold": {"top1": 0.8, "folds": [{"images": 9, "top1": 0.8}]},
        "abstain": {
            "target_error": 0.02,
            "confidence": 0.9,
            "test": {
                "images": 28,
                "covered": 20,
                "low_confidence": 6,
                "ood": 2,
                "selective_error": 0.01,
                "interval": [0.0, 0.05],
                "coverage": 0.9,
            },
        },
        "ood": {"flagged": 2, "images": 28, "share": 0.07, "expected": 0.05},
    } | changes


def facts_with(classes=CLASSES, confusion=((8, 1, 1), (0, 9, 0), (2, 0, 7)), **changes):
    """Facts of a run with such a matrix."""
    result = changes.pop("result", None) or result_of(classes, confusion)
    cells = tuple(
        tuple(
            Cell(label, predicted, images, (picture(label, predicted),) if images else ())
            for predicted, images in zip(classes, row, strict=True)
        )
        for label, row in zip(classes, confusion, strict=True)
    )
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(3), 28)
    request = Settings(data=Path("photos"), surgery=(("unfreeze", "layer4*"),))
    trained_on = [*classes[:-1], *classes[-1:] * 3]  # the last one is a small class
    images = [ListedImage(Path("1.jpg"), name, "train") for name in trained_on]
    images += [ListedImage(Path("1.jpg"), classes[0], "train")] * (118 - len(images))
    record = RunRecord(Path("runs/x"), request, result, tuple(images), {"python": "3.11.7"}, "abcd")
    facts = ReportData(
        record,
        preprocessing="shorter side to 256",
        drawing='<svg class="drawing"><text class="small">frozen</text></svg>',
        layers=("fc",),
        cells=cells,
        wrong=(picture(), picture(thumbnail=None)),
        unsure=(picture(map=PIXEL),),
        layer="layer4",
        reliability=reliability(shares, random.integers(0, 3, 28)),
        growth={
            "points": [
                {"images": 9, "top1": 0.5, "interval": [0.4, 0.6]},
                {"images": 90, "top1": 0.8, "interval": [0.7, 0.9]},
            ],
            "forecast": {
                "extra_per_class": 100,
                "images": 390,
                "top1": 0.85,
                "interval": [0.7, 0.95],
            },
        },
        is_growth_of_stand_in=True,
        found=(
            DataIssue("leak", (picture(), picture()), {"splits": "train / test"}),
            DataIssue(
                "label",
                (picture(),),
                {"label": "daisy", "better": "rose", "probability": "0.9", "against": "0.1"},
            ),
        ),
        missing=("daisy/9.jpg",),
    )
    return replace(facts, **changes)


@pytest.fixture
def facts() -> ReportData:
    """A run of three classes, with something in every part of its report."""
    return facts_with()
