"""`budwood lesson`: experiments that show what the course claims."""

from pathlib import Path

import click

from budwood.cli.options import PHOTOS, setting_option
from budwood.cli.output import common_options, console, documented, show


@click.group("lesson", no_args_is_help=False)
@documented
def command() -> None:
    """Show a claim of the course by an experiment."""


@command.command("degradation")
@click.option(
    "--data",
    type=PHOTOS,
    help="Photos to train on, as for `budwood train`. [default: the pictures of the demo]",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    metavar="N",
    default=15,
    show_default=True,
    help="Passes over the photos.",
)
@click.option(
    "--photos",
    type=click.IntRange(2),
    metavar="N",
    default=500,
    show_default=True,
    help="Train on about so many of the photos, the same share of each class.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path("lessons"),
    show_default=True,
    help="Folder for degradation.svg, the chart, and degradation.json, the figures.",
)
@click.option("--replace", is_flag=True, help="Replace the figures of an earlier lesson in DIR.")
@setting_option("seed")
@common_options
def degradation(
    data: Path | None,
    epochs: int,
    photos: int,
    out: Path,
    replace: bool,
    seed: int,
    as_json: bool,
    debug: bool,
) -> None:
    """Train 20 and 56 layers with and without shortcuts, and draw their training curves.

    Deeper plain networks learn even their training photos worse; ResNet's shortcuts are the
    remedy. Four networks are trained from nothing, on 32 x 32 pixels, on the same photos in the
    same order. Some minutes on two cores; more epochs and photos show it more clearly.

    \b
    Examples:
      budwood lesson degradation
      budwood lesson degradation --data photos/ --epochs 60 --photos 2000
    """
    from budwood.course.degradation import show_degradation

    result = show_degradation(
        data,
        out,
        epochs=epochs,
        photos=photos,
        seed=seed,
        replace=replace,
        reporter=console("reading", keeps="nothing"),
    )
    show(result, as_json)
