"""A recipe: a whole training in a short file, and a run of it beside what the chapter printed."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.course.bundled import SUFFIX, names, text_of
from budwood.display import displayed
from budwood.errors import BudwoodError, ConfigError
from budwood.fields import Setting, Texts, read_table, require_all, setting, settings_of
from budwood.grafting.graft_recipes import GraftRecipe
from budwood.models.catalog import find
from budwood.settings import Settings, recipe_keys
from budwood.text import aligned

_TABLES = ("training", "graft", "chapter")


@displayed
@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What the course's chapter printed for the same example."""

    test_top1: float | None = setting(None, "Accuracy on its test images.")
    train_top1: float | None = setting(None, "Accuracy on its training images.")
    train_images: int | None = setting(None, "Number of its training images.")
    test_images: int | None = setting(None, "Number of its test images.")
    seconds: float | None = setting(None, "How long it took.")
    device: str | None = setting(None, "What it ran on.")
    differs: Texts = setting((), "What is done otherwise here and why, a sentence each.")


@displayed
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training that has a name."""

    name: str
    title: str = setting("", "What it trains; shown with the result.")
    example: str | None = setting(None, "Number of the example in the chapter.")
    data: str | None = setting(
        None,
        "Images that it is for: flowers, of which `budwood inspect` shows 5 classes, or catdog, of "
        "which it shows 2.",
    )
    settings: Mapping[str, Any]
    """What it asks of `budwood train`, by the names of `Settings`."""
    graft: GraftRecipe | None = None
    chapter: Chapter | None = None
    text: str = ""
    """The file."""

    def request(self, data: Path, given: Mapping[str, Any] | None = None) -> Settings:
        """What `budwood train` is asked for, with other settings where they are given.

        Raises:
            ConfigError: If a setting is given that the recipe's network does not have.
        """
        given = dict(given or {})
        if self.graft is not None and "model" in given:
            raise ConfigError(
                f"The recipe {self.name} is a graft; it has no other model.",
                next="Leave --model out, or copy the recipe and change its layers.",
            )
        given["surgery"] = (*self.settings["surgery"], *given.get("surgery", ()))
        named = {"model": self.name, "graft": self.graft.to_json()} if self.graft else {}
        return Settings(data=data, recipe=self.name, **{**self.settings, **named, **given})

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        return {
            "name": self.name,
            "title": self.title,
            "example": self.example,
            "data": self.data,
            "settings": {**self.settings, "surgery": [list(s) for s in self.settings["surgery"]]},
            "graft": self.graft and self.graft.to_json(),
            "chapter": self.chapter
            and {**vars(self.chapter), "differs": list(self.chapter.differs)},
        }

    def __str__(self) -> str:
        return self.text.rstrip()


def load_recipe(recipe: str | Path) -> Recipe:
    """The recipe of that name, or in that file.

    Raises:
        UnknownName: If there is none.
        ConfigError: If it cannot be read, has an unknown key (the nearest is named), or lacks one.

    Example:
        >>> load_recipe("resnet50-flowers").chapter.test_top1
        0.8937
    """
    text = text_of(recipe)
    name = str(recipe) if str(recipe) in names() else Path(recipe).stem
    file = None if name == str(recipe) else Path(recipe)
    try:
        return _recipe(name, tomllib.loads(text), text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(
            f"The recipe {recipe} is no TOML: {problem}.", file=file, next="Mend that line."
        ) from None
    except BudwoodError as error:
        error.problem = f"Recipe {recipe}: {error.problem}"
        error.file = None if file is None else str(file)
        raise


def load_recipes() -> tuple[Recipe, ...]:
    """All recipes that come with Budwood, the chapter's in its order."""
    recipes = [load_recipe(name) for name in names()]
    return tuple(sorted(recipes, key=lambda recipe: (recipe.example or "9", recipe.name)))


def is_recipe(what: str | Path) -> bool:
    """True for the name of a recipe that comes with Budwood, and for the path of a TOML file."""
    return str(what) in names() or Path(what).suffix == SUFFIX


def _recipe(name: str, table: Mapping[str, Any], text: str) -> Recipe:
    """The recipe of a parsed file; all that is wrong with it is told together."""
    own, keys = settings_of(Recipe), recipe_keys("")
    values, problems = read_table(table, {**own, **keys}, "A recipe", _TABLES)
    tables = {key: table[key] for key in _TABLES if isinstance(table.get(key), Mapping)}
    problems += (
        ConfigError(f"{key} is {table[key]!r}.", expected=f"It must be a table: [{key}].")
        for key in _TABLES
        if key in table and key not in tables
    )
    training, wrong = read_table(tables.get("training", {}), recipe_keys("training"), "[training]")
    told, wrong_too = read_table(tables.get("chapter", {}), settings_of(Chapter), "[chapter]")
    problems += [*wrong, *wrong_too]
    problems += [] if problems else _contradictions(table, keys)
    graft = None
    try:
        if "model" in values:
            find(values["model"])
        if "graft" in tables:
            graft = GraftRecipe.from_json(tables["graft"])
    except BudwoodError as problem:
        problems.append(problem)
    require_all(problems)
    return Recipe(
        name=name,
        **{key: values.pop(key) for key in own if key in values},
        settings={"surgery": (), **values, **training},
        graft=graft,
        chapter=Chapter(**told) if "chapter" in tables else None,
        text=text,
    )


def _contradictions(table: Mapping[str, Any], keys: Mapping[str, Setting]) -> Iterator[ConfigError]:
    if ("graft" in table) == ("model" in table):
        yield ConfigError('A recipe has either a `model = "..."` or a [graft] table.')
    elif "graft" in table:
        for key, each in keys.items():
            if each.not_in_graft and key in table:
                yield ConfigError(
                    f"{key} is for a recipe with a model.",
                    next="In a [graft] each layer says whether it is frozen, and the last ones "
                    "are the head.",
                )


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """What a run gave."""

    test_top1: float | None
    train_top1: float
    train_images: int
    test_images: int
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
        plain = self.recipe.to_json()
        if plain["chapter"]:
            del plain["chapter"]["differs"]
        kept = {name: plain[name] for name in ("name", "example", "title", "chapter")}
        return kept | {"differs": list(self.differs)}

    def __str__(self) -> str:
        example = f", example {self.recipe.example}" if self.recipe.example else ""
        lines = [f"Recipe {self.recipe.name}{example}: {self.recipe.title}"]
        if self.recipe.chapter is not None and (rows := list(self._rows(self.recipe.chapter))):
            lines += ["", aligned([("", "here", "the chapter"), *rows])]
        if self.differs:
            lines += ["", "What differs:", *(f"  - {difference}" for difference in self.differs)]
        return "\n".join(lines)

    def _rows(self, chapter: Chapter) -> Iterator[tuple[str, str, str]]:
        for name, field, form in (
            ("test top-1", "test_top1", ".4f"),
            ("train top-1", "train_top1", ".4f"),
            ("test photos", "test_images", "d"),
            ("train photos", "train_images", "d"),
            ("seconds", "seconds", ".1f"),
        ):
            here, there = getattr(self.reached, field), getattr(chapter, field)
            if here is not None and there is not None:
                yield name, format(here, form), format(there, form)


def compared_with_chapter(
    recipe: Recipe, request: Settings, reached: RunFigures
) -> ChapterComparison:
    """The run of a recipe beside the chapter's result."""
    return ChapterComparison(recipe, reached, tuple(_differences(recipe, request, reached)))


def _differences(recipe: Recipe, request: Settings, reached: RunFigures) -> Iterator[str]:
    chapter = recipe.chapter
    if chapter is None:
        return
    counts = (reached.train_images, reached.test_images)
    theirs = (chapter.train_images, chapter.test_images)
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
