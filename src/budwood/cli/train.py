"""`budwood train`: from a folder of photos to a judged, saved classifier."""

from pathlib import Path
from typing import Any

import click

from budwood.cli.options import PHOTOS, SurgeryCommand
from budwood.cli.output import common_options
from budwood.cli.training import train, training_options


@click.command("train", cls=SurgeryCommand)
@click.argument("data", type=PHOTOS)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Do what a recipe says; `budwood recipe list` shows them. Other options overrule it.",
)
@training_options
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
