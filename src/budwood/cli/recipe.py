"""`budwood recipe`: the chapter's worked examples, each by one command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from budwood.cli.options import PHOTOS, SettingsCommand, setting_options
from budwood.cli.output import common_options, documented, show
from budwood.cli.train import train

if TYPE_CHECKING:
    from budwood.course.recipes import Recipe


@dataclass(frozen=True)
class Recipes:
    """The recipes that come with Budwood."""

    found: tuple["Recipe", ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"recipes": [recipe.to_json() for recipe in self.found]}

    def __str__(self) -> str:
        width = max(len(recipe.name) for recipe in self.found)
        return "\n".join(
            f"{recipe.name:<{width}}  {recipe.example or '':<3}  {recipe.title}"
            for recipe in self.found
        )


@click.group("recipe")
@documented
def command() -> None:
    """The chapter's worked examples: list them, show one, run one.

    A recipe is a short TOML file: network, weights, what is frozen, the head or the graft, and how
    it is trained. Copy one (`budwood recipe show NAME > mine.toml`), change it, and run it by its
    path.
    """


@command.command("list")
@common_options
def list_(as_json: bool, debug: bool) -> None:
    """List the recipes, with the number of the example in the chapter.

    \b
    Example:
      budwood recipe list
    """
    from budwood.course.recipes import load_recipes

    show(Recipes(load_recipes()), as_json)


@command.command("show")
@click.argument("name", metavar="NAME|FILE")
@common_options
def show_(name: str, as_json: bool, debug: bool) -> None:
    """Print a recipe as it is written.

    \b
    Example:
      budwood recipe show vgg16-graft
    """
    from budwood.course.recipes import load_recipe

    show(load_recipe(name), as_json)


@command.command("run", cls=SettingsCommand)
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--data",
    type=PHOTOS,
    required=True,
    help="The photos, as `budwood train` takes them.",
)
@setting_options(without=["recipe"])
@common_options
def run_(name: str, data: Path, as_json: bool, debug: bool, **options: Any) -> None:
    """Train by a recipe, and show the result beside the chapter's.

    It is the same as `budwood train DATA --recipe NAME`; all options of `train` overrule what the
    recipe says.

    \b
    Examples:
      budwood recipe run lite0-flowers --data flowers/
      budwood recipe run vgg16-catdog --data catdog/ --weights none --epochs 1
    """
    train(data, name, options, as_json)
