"""`budwood data`: photos to learn with, by name."""

import sys
import time
from pathlib import Path

import click

from budwood.cli.options import existing
from budwood.cli.output import common_options, documented, note, show
from budwood.reporter import Reporter


@click.group("data", no_args_is_help=False)
@documented
def command() -> None:
    """Get the photos of the course, or list what there is."""


@command.command("get")
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
def get(name: str, out: Path | None, archive: Path | None, as_json: bool, debug: bool) -> None:
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

    show(
        get_dataset(
            name, out, archive=archive, reporter=Reporter(note=note), on_progress=_Download()
        ),
        as_json,
    )


@command.command("list")
@common_options
def list_(as_json: bool, debug: bool) -> None:
    """List the photos that can be had, with classes, size and address.

    \b
    Example:
      budwood data list
    """
    from budwood.course.datasets import DATASETS, Datasets

    show(Datasets(tuple(DATASETS.values())), as_json)


class _Download:
    """How far a download is: one line on a terminal, now and then a line in a log."""

    def __init__(self) -> None:
        self._last = 0.0
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, have: int, total: int | None) -> None:
        now = time.monotonic()
        is_done = have == total
        if not is_done and now - self._last < (0.1 if self._on_terminal else 10.0):
            return
        self._last = now
        text = f"  {have / 1e6:.1f}{f' of {total / 1e6:.1f}' if total else ''} MB"
        if self._on_terminal:
            click.echo(f"\r{text:<78}", err=True, nl=is_done)
        else:
            click.echo(text, err=True)
