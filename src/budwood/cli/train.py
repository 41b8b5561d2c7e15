"""`budwood train`: from a folder of photos to a judged, saved classifier."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from budwood.cli.options import (
    PHOTOS,
    SettingsCommand,
    setting_options,
    surgery_steps,
)
from budwood.cli.output import (
    STARTED,
    common_options,
    console,
    note,
    reached,
    show,
)


@click.command("train", cls=SettingsCommand)
@click.argument("data", type=PHOTOS)
@setting_options()
@common_options
def command(data: Path, recipe: str | None, as_json: bool, debug: bool, **options: Any) -> None:
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
    train(data, recipe, options, as_json)


def train(data: Path, recipe: str | None, options: dict[str, Any], as_json: bool) -> None:
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
    run = run_training(
        settings, console("extracting"), STARTED, chosen, lambda: reached("training")
    )
    show(run, as_json)
