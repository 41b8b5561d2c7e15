"""Every public value has a short repr, a readable str and a table for notebooks."""

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

import budwood as bw
from budwood.data.labels import Note
from budwood.display import as_html, counted, displayed
from budwood.evaluation.metrics import evaluate_logits
from budwood.tasks.predict import Prediction, Predictions

SHORT = 200
MANY = tuple(Path(f"/home/me/photos/daisy/{i}.jpg") for i in range(9000))
SPLIT = bw.Split("train", MANY, tuple(i % 3 for i in range(9000)), ("a<b>", "daisy", "rose"))


def found_in(kind: object) -> Iterator[type]:
    """The dataclasses of ours inside an annotation."""
    is_class = isinstance(kind, type) and not isinstance(kind, types.GenericAlias)
    if is_class and is_dataclass(kind) and kind.__module__.startswith("budwood."):
        yield kind
    for part in get_args(kind):
        yield from found_in(part)


def hints(function: Any) -> Iterator[type]:
    yield from found_in(get_type_hints(function, localns={"nn": nn}).get("return"))


def public_values() -> list[type]:
    """The dataclasses that are public, and those that public functions and methods give back, and
    what their own methods and fields give."""
    waiting, known = list[type](), dict[type, None]()
    for thing in (getattr(bw, name) for name in bw.__all__):
        if is_dataclass(thing):
            waiting.append(thing)
        if inspect.isfunction(thing):
            waiting += hints(thing)
    waiting += methods(bw.Classifier)
    while waiting:
        cls = waiting.pop()
        if cls not in known:
            known[cls] = None
            waiting += methods(cls)
    return sorted(known, key=lambda cls: cls.__name__)


def methods(cls: type) -> Iterator[type]:
    for name, member in vars(cls).items():
        getter = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(getter):
            yield from hints(getter)


@pytest.mark.parametrize("cls", public_values(), ids=lambda cls: cls.__name__)
def test_the_repr_is_short_whatever_is_inside(cls):
    value = object.__new__(cls)
    for field in fields(cls):
        object.__setattr__(value, field.name, MANY)
    assert len(repr(value)) < SHORT
    assert "/home/me" not in repr(value)
    assert repr(value).startswith(f"{cls.__name__}(")
    assert callable(value._repr_html_)


@pytest.mark.parametrize(
    "content", ["x" * 9999, MANY, {"a": MANY}, np.zeros((9, 9)), torch.zeros(9, 9), SPLIT, 1 / 3]
)
def test_no_field_makes_a_repr_or_a_str_long(content):
    @displayed
    @dataclass
    class Value:
        first: object
        second: object = None

    value = Value(content, content)
    assert len(repr(value)) < SHORT
    assert "jpg" not in repr(value)
    assert len(str(value).splitlines()) == 2
    assert "<td>second</td>" in as_html(value)


def evaluation():
    logits = torch.eye(3).repeat(3000, 1)
    return evaluate_logits(logits, torch.from_numpy(SPLIT.targets), SPLIT.classes, SPLIT.paths)


def predictions(*rest):
    top = (("a<b>", 0.9), ("daisy", 0.1))
    images = tuple(Prediction(str(path), top) for path in MANY[:3])
    return Predictions(SPLIT.classes, images, {}, *rest)


def untrained(**options):
    return bw.build("resnet18", weights="none", device="meta", **options)


VALUES = {
    "split": lambda: SPLIT,
    "folder": lambda: bw.ImageFolder(
        Path("photos"), SPLIT.classes, SPLIT, None, SPLIT, (Note("x", "A <b>note</b>."),)
    ),
    "evaluation": evaluation,
    "classifier": lambda: bw.Classifier(untrained(classes=5)),
    "summary": lambda: bw.summarize(untrained()),
    "predictions": lambda: predictions(None),
    "own classes": lambda: predictions("Not calibrated.", None, "resnet18"),
    "architecture": lambda: bw.list_models("resnet50")[0],
    "recipe": lambda: bw.load_recipe("resnet50-flowers"),
    "training": bw.Training,
    "preprocessing": lambda: bw.Preprocessing(size=(8, 8), resize=9, mean=(0.5,), std=(0.25,)),
    "new layer": lambda: bw.NewLayer(type="Flatten"),
    "donor layers": lambda: bw.DonorLayers.named("resnet18.layer1"),
}


@pytest.fixture(scope="module")
def shown():
    return {name: make() for name, make in VALUES.items()}


@pytest.mark.parametrize("name", VALUES)
def test_values_show_themselves(shown, name):
    value = shown[name]
    assert len(repr(value)) < SHORT
    assert "/home/me" not in repr(value)
    text, page = str(value), value._repr_html_()
    assert text != repr(value)
    assert len(text) < 20_000
    assert not re.search(r"<(?!/?(div|table|tr|td|th|thead|tbody|p|br|span)\b)", page)
    assert "<b>note" not in page
    assert "a<b>" not in page


def test_a_folder_is_a_table_of_counts(shown):
    assert str(shown["folder"]).splitlines() == [
        "class  train  test",
        "a<b>    3000  3000",
        "daisy   3000  3000",
        "rose    3000  3000",
        "all     9000  9000",
        "A <b>note</b>.",
    ]
    page = shown["folder"]._repr_html_()
    assert "<tr><td>daisy</td><td>3000</td><td>3000</td></tr>" in page
    assert "<p>A &lt;b&gt;note&lt;/b&gt;.</p>" in page


def test_many_classes_are_summed_up():
    table = counted({"photos": {f"class {i}": 1 for i in range(600)}})
    assert len(table.splitlines()) == 22
    assert table.splitlines()[-2:] == ["581 others     581", "all            600"]


def test_a_classifier_names_its_classes():
    network = untrained(classes=list("abcdefg"))
    model = bw.Classifier(bw.unfreeze(bw.freeze(network, "*"), "fc"))
    assert repr(model) == "Classifier(torchvision/resnet18, 7 classes)"
    assert "a, b, c, d, e, and 2 more" in str(model)
    assert "of which 3,591 train" in str(model)


def test_the_table_of_own_classes_has_a_line_a_class(shown):
    lines = str(shown["own classes"]).splitlines()
    assert lines[0].split() == ["photo", "class", "probability"]
    assert lines[1].endswith("a<b>        90.0 %")
    assert lines[2].split() == ["daisy", "10.0", "%"]
    assert lines[-1] == "Not calibrated."
