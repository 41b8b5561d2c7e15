"""Commands to learn with: `budwood demo`, `lesson` and `data`."""

from pathlib import Path
from typing import Any

import click

from budwood.cli.options import IMAGES, existing, setting_option
from budwood.cli.output import (
    STARTED,
    OneLine,
    common_options,
    console,
    documented,
    note,
    show,
)
from budwood.reporter import Reporter


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Folder for the pictures and the result, new or empty. [default: BUDWOOD_HOME/demo, where "
    "an earlier demo is replaced]",
)
@click.option("--replace", is_flag=True, help="Replace an earlier demo in RUN.")
@common_options
def demo(out: Path | None, replace: bool) -> None:
    """Train, judge, predict and verify on embedded pictures.

    Needs no network and no photos. Ten surfaces, 64-pixel grey patches: the left side of each
    picture trains, the right side tests.

    \b
    Example:
      budwood demo
    """
    from budwood.files import home
    from budwood.tasks.demo import run_demo

    show(run_demo(out or home() / "demo", console("extracting"), STARTED, replace))


@click.group("lesson", no_args_is_help=False)
@documented
def lesson() -> None:
    """Show a claim of the course by an experiment."""


@lesson.command("degradation")
@click.option(
    "--data",
    type=IMAGES,
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
    "--images",
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
def degradation(data: Path | None, out: Path, **options: Any) -> None:
    """Train 20 and 56 layers with and without shortcuts, and draw their training curves.

    Deeper plain networks learn even their training photos worse; ResNet's shortcuts are the
    remedy. Four networks are trained from nothing, on 32 x 32 pixels, on the same photos in the
    same order. Some minutes on two cores; more epochs and photos show it more clearly.

    \b
    Examples:
      budwood lesson degradation
      budwood lesson degradation --data photos/ --epochs 60 --images 2000
    """
    from budwood.course.degradation import show_degradation

    reporter = console("reading", keeps="nothing")
    show(show_degradation(data, out, reporter=reporter, **options))


@click.group("data", no_args_is_help=False)
@documented
def data() -> None:
    """Get the photos of the course, or list what there is."""


@data.command("get")
@click.argument("name", metavar="flowers|catdog")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the photos, new or empty. [default: ./flowers or ./catdog]",
)
@click.option(
    "--archive",
    type=existing("archive"),
    metavar="FILE",
    help="The archive, if it was downloaded by other means; nothing is downloaded then.",
)
@common_options
def get(name: str, out: Path | None, archive: Path | None) -> None:
    """Download photos, check their hash and number, and unpack them.

    flowers: 3670 photos in five classes, 229 MB. catdog: 2000 photos to train on and 1000 to test,
    69 MB; it is another subset of the same Kaggle photos than the course's own, which is published
    nowhere. An interrupted download goes on where it stopped. Without a network the error names
    the address: download the file elsewhere and pass --archive.

    \b
    Examples:
      budwood data get flowers
      budwood data get catdog --out photos/catdog
      budwood data get flowers --archive flower_photos.tgz
    """
    from budwood.course.datasets import get_dataset

    line = OneLine()

    def progress(have: int, total: int | None) -> None:
        of = f" of {total / 1e6:.1f}" if total else ""
        line.draw(f"  {have / 1e6:.1f}{of} MB", is_last=have == total)

    reporter = Reporter(note=note)
    show(get_dataset(name, out, archive=archive, reporter=reporter, on_progress=progress))


@data.command("list")
@common_options
def list_() -> None:
    """List the photos that can be had, with classes, size and address.

    \b
    Example:
      budwood data list
    """
    from budwood.course.datasets import DATASETS, Datasets

    show(Datasets(tuple(DATASETS.values())))
