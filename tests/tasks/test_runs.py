"""What is said of photos before a training."""

from pathlib import Path

import numpy as np
from PIL import Image

from budwood.data.folder import ImageFolder, Note, Split
from budwood.settings import Settings
from budwood.tasks.train import _lonely, run_training


def folder(numbers, *notes):
    classes = tuple(f"k{n}" for n in range(len(numbers)))
    labels = tuple(label for label, number in enumerate(numbers) for _ in range(number))
    paths = tuple(Path(f"{i}.jpg") for i in range(len(labels)))
    train = Split("train", paths, labels, classes)
    return ImageFolder(Path("photos"), classes, train, None, None, notes)


def test_a_class_with_one_training_photo_is_named_once():
    told = Note("small-class", "Some classes cannot be divided.", about=("k1",))
    assert [str(note) for note in _lonely(folder([3, 1, 1], told))] == [
        "Class 'k2' has one training photo only."
    ]


def test_many_are_one_note():
    assert [str(note) for note in _lonely(folder([1] * 300))] == [
        "300 classes have one training photo only: 'k0', 'k1', 'k2' and 297 more."
    ]


def test_the_result_is_told_when_it_is_saved_and_before_its_page_is_drawn(tmp_path):
    photos = tmp_path / "photos"
    for name, value in (("dark", 20), ("light", 220)):
        (photos / name).mkdir(parents=True)
        for i in range(6):
            noise = np.random.default_rng(value + i).integers(0, 30, (40, 40, 3), np.uint8)
            Image.fromarray(noise + value).save(photos / name / f"{i}.png")
    told = []

    def look(run):
        names = {path.name for path in run.folder.iterdir()}
        told.append((run, "result.json" in names, "report.html" in names))

    settings = Settings(data=photos, model="timm/test_resnet", weights="none", out=tmp_path / "run")
    run = run_training(settings, on_result=look)
    assert told == [(run, True, False)]
    assert (run.folder / "report.html").is_file()
