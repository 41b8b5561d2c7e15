"""`budwood train`, and `recipe`: the chapter's worked examples, each by one command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from budwood.cli.options import IMAGES, SettingsCommand, setting_options, surgery_steps
from budwood.cli.output import STARTED, common_options, console, documented, note, reached, show

if TYPE_CHECKING:
    from budwood.course.recipes import Recipe
    from budwood.tasks.train import Run


@click.command("train", cls=SettingsCommand)
@click.argument("data", type=IMAGES)
@setting_options()
@common_options
def train(data: Path, recipe: str | None, **options: Any) -> None:
    """Train a classifier on the photos in DATA, judge it, save it.

    DATA is a folder with one subfolder of photos per class, or with train, val and test folders
    that hold such, or a CSV file with columns path,label[,split]. All layers but the new head are
    frozen, unless --unfreeze says otherwise.

    \b
    Examples:
      budwood train photos/
      budwood train photos/ --model resnet50 --unfreeze 'layer4*' --epochs 5
      budwood train photos/ --head mlp:256 --epochs 20 --out runs/wider
    """
    _train(data, recipe, options)


def _train(data: Path, recipe: str | None, options: dict[str, Any]) -> None:
    """Train as the options say; where a recipe is given, they say what is different from it."""
    note(f"Looking at the photos in {data}.")  # what follows is slow to import
    from budwood.course.recipes import load_recipe  # torch is loaded from here on
    from budwood.settings import Settings
    from budwood.tasks.train import run_training

    source = click.get_current_context().get_parameter_source
    values = {k: v for k, v in options.items() if k not in ("freeze", "unfreeze")}
    values["surgery"] = surgery_steps()
    chosen = None if recipe is None else load_recipe(recipe)
    if chosen is None:
        settings = Settings(data=data, **values)
    else:
        given = (n for n in values if n == "surgery" or source(n) is ParameterSource.COMMANDLINE)
        settings = chosen.request(data, {name: values[name] for name in given})

    def show_at_once(run: "Run") -> None:
        reached("saved")
        show(run)

    run_training(
        settings,
        console("extracting"),
        STARTED,
        chosen,
        on_features=lambda: reached("training"),
        on_result=show_at_once,
    )


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
def recipe() -> None:
    """The chapter's worked examples: list them, show one, run one.

    A recipe is a short TOML file: network, weights, what is frozen, the head or the graft, and how
    it is trained. Copy one (`budwood recipe show NAME > mine.toml`), change it, and run it by its
    path.
    """


@recipe.command("list")
@common_options
def list_() -> None:
    """List the recipes, with the number of the example in the chapter.

    \b
    Example:
      budwood recipe list
    """
    from budwood.course.recipes import load_recipes

    show(Recipes(load_recipes()))


@recipe.command("show")
@click.argument("name", metavar="NAME|FILE")
@common_options
def show_(name: str) -> None:
    """Print a recipe as it is written.

    \b
    Example:
      budwood recipe show vgg16-graft
    """
    from budwood.course.recipes import load_recipe

    show(load_recipe(name))


@recipe.command("run", cls=SettingsCommand)
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--data", type=IMAGES, required=True, help="The photos, as `budwood train` takes them."
)
@setting_options(without=["recipe"])
@common_options
def run_(name: str, data: Path, **options: Any) -> None:
    """Train by a recipe, and show the result beside the chapter's.

    It is the same as `budwood train DATA --recipe NAME`; all options of `train` overrule what the
    recipe says.

    \b
    Examples:
      budwood recipe run lite0-flowers --data flowers/
      budwood recipe run vgg16-catdog --data catdog/ --weights none --epochs 1
    """
    _train(data, name, options)
