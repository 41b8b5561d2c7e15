"""A run beside what the chapter printed for the same example, and what is different about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from budwood.course.recipes import Chapter, Recipe
from budwood.settings import Settings
from budwood.text import aligned


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """What a run gave."""

    test_top1: float | None
    train_top1: float
    train_photos: int
    test_photos: int
    seconds: float
    device: str
    weights: str
    frozen_random: bool
    """Whether layers that do not train have random weights."""


@dataclass(frozen=True)
class ChapterComparison:
    """A run, the chapter's result, and the differences."""

    recipe: Recipe
    reached: RunFigures
    differs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object `recipe` of `train --json`."""
        chapter = self.recipe.chapter
        return {
            "name": self.recipe.name,
            "example": self.recipe.example,
            "title": self.recipe.title,
            "chapter": None
            if chapter is None
            else {name: value for name, value in vars(chapter).items() if name != "differs"},
            "differs": list(self.differs),
        }

    def __str__(self) -> str:
        example = f", example {self.recipe.example}" if self.recipe.example else ""
        lines = [f"Recipe {self.recipe.name}{example}: {self.recipe.title}"]
        if self.recipe.chapter is not None and (rows := list(self._rows(self.recipe.chapter))):
            lines += ["", aligned([("", "here", "the chapter"), *rows])]
        if self.differs:
            lines += ["", "What differs:", *(f"  - {difference}" for difference in self.differs)]
        return "\n".join(lines)

    def _rows(self, chapter: Chapter) -> Iterator[tuple[str, str, str]]:
        reached = self.reached
        pairs: list[tuple[str, float | None, float | None, str]] = [
            ("test top-1", reached.test_top1, chapter.test_top1, ".4f"),
            ("train top-1", reached.train_top1, chapter.train_top1, ".4f"),
            ("test photos", reached.test_photos, chapter.test_photos, "d"),
            ("train photos", reached.train_photos, chapter.train_photos, "d"),
            ("seconds", reached.seconds, chapter.seconds, ".1f"),
        ]
        for name, here, there, form in pairs:
            if here is not None and there is not None:
                yield name, format(here, form), format(there, form)


def beside(recipe: Recipe, request: Settings, reached: RunFigures) -> ChapterComparison:
    """The run of a recipe beside the chapter's result."""
    return ChapterComparison(recipe, reached, tuple(_differences(recipe, request, reached)))


def _differences(recipe: Recipe, request: Settings, reached: RunFigures) -> Iterator[str]:
    chapter = recipe.chapter
    if chapter is None:
        return
    counts = (reached.train_photos, reached.test_photos)
    theirs = (chapter.train_photos, chapter.test_photos)
    if None not in theirs and counts != theirs:
        yield (
            f"split: {counts[0]} photos to train and {counts[1]} to test here, "
            f"{theirs[0]} and {theirs[1]} in the chapter"
        )
    if reached.frozen_random:
        yield "weights: the frozen layers are random here, so the accuracy means nothing"
    elif reached.weights.startswith("file:"):
        yield f"weights: those of {reached.weights.removeprefix('file:')}"
    if chapter.device is not None:
        yield f"device: {reached.device} here, {chapter.device} in the chapter"
    for name, asked in recipe.settings.items():
        given = getattr(request, name)
        if name not in ("surgery", "weights") and given != asked:
            yield f"{name}: {given} here, {asked} in the recipe"
    if request.surgery != recipe.settings["surgery"]:
        yield "layers: others were frozen or unfrozen than in the recipe"
    yield from chapter.differs
