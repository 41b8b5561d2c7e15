"""A recipe: a whole training in a short file, and what another got who did the same."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from budwood.course.bundled import SUFFIX, names, text_of
from budwood.display import displayed
from budwood.errors import BudwoodError, ConfigError
from budwood.grafting.graft_recipes import GraftRecipe, require_keys
from budwood.learning.algorithms import TRAINING as TRAINING_OPTIONS
from budwood.networks.catalog import find
from budwood.request import Request

TRAINING = ("fit", *TRAINING_OPTIONS)
"""Settings of `[training]`, as `budwood train` has them."""
NETWORK = (
    "model",
    "weights",
    "aux_heads",
    "size",
    "head",
    "freeze",
    "unfreeze",
    "test_fraction",
    "seed",
)
"""Settings of the network and the photos, likewise; with `[graft]` only some make sense."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Chapter:
    """What the course's chapter printed for the same example."""

    test_top1: float | None = None
    train_top1: float | None = None
    train_photos: int | None = None
    test_photos: int | None = None
    seconds: float | None = None
    device: str | None = None
    differs: tuple[str, ...] = ()
    """What is done otherwise here, and why."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training that has a name."""

    name: str
    title: str = ""
    example: str | None = None
    """Number of the example in the chapter."""
    data: str | None = None
    """The photos that it is for: `flowers` or `catdog`; see `budwood data`."""
    settings: Mapping[str, Any]
    """What it asks of `budwood train`, by the names of `Request`."""
    graft: GraftRecipe | None = None
    chapter: Chapter | None = None
    text: str = ""
    """The file."""

    def request(self, data: Path, given: Mapping[str, Any] | None = None) -> Request:
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
        steps = (*self.settings.get("surgery", ()), *given.pop("surgery", ()))
        named = {} if self.graft is None else {"model": self.name}
        settings = {**self.settings, **named, **given, "surgery": steps}
        return Request(data=data, graft=self.graft, recipe=self.name, **settings)

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        chapter = None if self.chapter is None else _plain(self.chapter)
        return {
            "name": self.name,
            "title": self.title,
            "example": self.example,
            "data": self.data,
            "settings": {**self.settings, "surgery": [list(s) for s in self.settings["surgery"]]},
            "graft": self.graft and self.graft.to_json(),
            "chapter": chapter,
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
    ours = ("title", "example", "data")
    require_keys(table, (*ours, *NETWORK, "training", "graft", "chapter"), "A recipe")
    if ("graft" in table) == ("model" in table):
        raise ConfigError('A recipe has either a `model = "..."` or a [graft] table.')
    graft = None
    if "graft" in table:
        for key in ("aux_heads", "head", "freeze", "unfreeze"):
            if key in table:
                raise ConfigError(
                    f"{key} is for a recipe with a model.",
                    next="In a [graft] each layer says whether it is frozen, and the last ones "
                    "are the head.",
                )
        graft = GraftRecipe.from_json(_table(table, "graft"))
    else:
        find(_typed(table, "model", str))
    return Recipe(
        name=name,
        title=_typed(table, "title", str, ""),
        example=_typed(table, "example", str, None),
        data=_typed(table, "data", str, None),
        settings=_settings(table),
        graft=graft,
        chapter=_chapter(_table(table, "chapter")) if "chapter" in table else None,
        text=text,
    )


def _settings(table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by the names of `Request`, of the types that it has."""
    training = _table(table, "training")
    require_keys(training, TRAINING, "[training]")
    types: dict[str, Any] = {
        "model": str,
        "weights": str,
        "aux_heads": bool,
        "size": int,
        "head": str,
        "test_fraction": float,
        "seed": int,
        "fit": str,
        "epochs": int,
        "lr": float,
        "batch_size": int,
        "optimizer": str,
        "schedule": str,
        "patience": int,
    }
    both = {**table, **training}
    settings = {key: _typed(both, key, kind) for key, kind in types.items() if key in both}
    steps = [(action, glob) for action in ("freeze", "unfreeze") for glob in _globs(table, action)]
    return {**settings, "surgery": tuple(steps)}


def _globs(table: Mapping[str, Any], key: str) -> list[str]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(glob, str) for glob in value):
        raise ConfigError(f"{key} is {value!r}.", expected='It must be a list: ["layer4*"].')
    return value


def _chapter(table: Mapping[str, Any]) -> Chapter:
    require_keys(table, [each.name for each in fields(Chapter)], "[chapter]")
    return Chapter(**{**table, "differs": tuple(table.get("differs", ()))})


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is {value!r}.", expected=f"It must be a table: [{key}].")
    return value


def _typed(table: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    value = table.get(key, default)
    if key not in table:
        return default
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{key} is {value!r}.", expected=f"It must be of type {kind.__name__}.")
    return value


def _plain(chapter: Chapter) -> dict[str, Any]:
    return {**vars(chapter), "differs": list(chapter.differs)}
