"""A run compared_with_chapter the chapter's: the figures of both, and what differs."""

from dataclasses import replace
from pathlib import Path

from budwood.course.recipes import RunFigures, compared_with_chapter, load_recipe

REACHED = RunFigures(
    test_top1=0.9,
    train_top1=0.95,
    train_images=2569,
    test_images=1101,
    seconds=31.25,
    device="cpu",
    weights="IMAGENET1K_V2",
    frozen_random=False,
)


def compared(given=None, **changes):
    recipe = load_recipe("resnet50-flowers")
    request = recipe.request(Path("x"), given or {})
    return compared_with_chapter(recipe, request, replace(REACHED, **changes))


def test_the_same_run_differs_in_what_the_recipe_says_and_the_device():
    recipe = load_recipe("resnet50-flowers")
    assert compared().differs == ("device: cpu here, a GPU in the chapter", *recipe.chapter.differs)


def test_the_table_shows_both():
    text = str(compared())
    assert text.startswith("Recipe resnet50-flowers, example 5.4: ResNet50 on flowers")
    assert "test top-1    0.9000       0.8937" in text
    assert "seconds         31.2        148.0" in text


def test_another_split_is_told():
    first = compared(train_images=80, test_images=40).differs[0]
    assert first == ("split: 80 photos to train and 40 to test here, 2569 and 1101 in the chapter")


def test_random_weights_and_files_are_told():
    assert "the accuracy means nothing" in compared(frozen_random=True).differs[0]
    assert compared(weights="file:mine.pth").differs[0] == "weights: those of mine.pth"


def test_other_settings_are_told():
    differs = compared({"epochs": 1, "surgery": (("unfreeze", "layer4*"),)}).differs
    assert "epochs: 1 here, 10 in the recipe" in differs
    assert "layers: others were frozen or unfrozen than in the recipe" in differs


def test_without_a_test_set_there_is_no_such_row():
    assert "test top-1" not in str(compared(test_top1=None))


def test_a_recipe_without_a_chapter_has_nothing_beside():
    recipe = load_recipe("lite0-flowers")
    found = compared_with_chapter(recipe, recipe.request(Path("x")), REACHED)
    assert found.differs == ()
    assert found.to_json()["chapter"] is None
    assert "the chapter" not in str(found)
