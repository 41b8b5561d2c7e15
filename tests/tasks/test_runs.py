"""What is said of photos before a training."""

from pathlib import Path

from budwood.data.folder import ImageFolder, Note, Split
from budwood.tasks.train import _lonely


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
