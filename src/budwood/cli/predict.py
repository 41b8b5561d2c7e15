"""`budwood predict`: what is on these photos?"""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from budwood.cli.options import RATE, RUN, Existing
from budwood.cli.output import ProgressLine, common_options, note, show
from budwood.errors import ConfigError

if TYPE_CHECKING:
    from budwood.predictions import Predictions

DASH = Path("-")
"""Stands for stdin or stdout."""


@click.command("predict")
@click.argument("run", type=RUN)
@click.argument(
    "paths", nargs=-1, required=True, type=Existing("photo or folder"), metavar="PATH..."
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    default=3,
    show_default=True,
    help="Classes named per photo.",
)
@click.option(
    "--abstain",
    type=RATE,
    metavar="RATE",
    help="Target error rate for selective prediction, kept with 90 % confidence: photos that are "
    "too unsure or out of distribution are unknown.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a table with every probability; - for stdout.",
)
@common_options
def command(
    run: Path,
    paths: tuple[Path, ...],
    top: int,
    abstain: float | None,
    table: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Predict the class of photos with the classifier in RUN.

    PATH is a photo, a folder of photos (subfolders included), or - for a list of paths on stdin,
    one a line. A photo that cannot be read is named and passed over.

    \b
    Examples:
      budwood predict runs/flowers-efficientnet_lite0 IMG_0001.jpg
      find . -name '*.jpg' | budwood predict runs/flowers-efficientnet_lite0 - --csv out.csv
    """
    to_stdout = table == DASH
    if to_stdout and as_json:
        raise click.UsageError("--csv - and --json cannot both go to stdout.")
    if table is not None and not table.absolute().parent.is_dir():
        raise ConfigError(
            f"There is no folder {table.parent} for {table.name}.",
            next="Make it, or name another file after --csv.",
            file=table,
        )
    from budwood.predictions import predict_run

    predictions = predict_run(
        run,
        _asked(paths),
        top,
        note,
        ProgressLine("predicting"),
        abstain,
        every_class=table is not None,
    )
    if table is not None:
        _write(predictions, table)
    if not to_stdout:
        show(predictions, as_json)
    if table is not None and not to_stdout:
        note(f"{len(predictions.photos)} rows in {table}")


def _asked(paths: tuple[Path, ...]) -> list[Path]:
    """The paths given, with those listed on stdin in the place of a `-`."""
    listed = [Path(line) for line in sys.stdin.read().splitlines() if line] if DASH in paths else []
    return [one for path in paths for one in (listed if path == DASH else [path])]


def _write(predictions: "Predictions", table: Path) -> None:
    """One row a photo: path, class, probability, then the probability of every class."""
    with click.open_file(str(table), "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "class", "probability", *predictions.classes])
        for photo in predictions.photos:
            best = photo.top[0]
            assert photo.probabilities is not None  # they were asked for
            every = [f"{p:.6f}" for p in photo.probabilities]
            name = "unknown" if photo.unknown else best[0]
            writer.writerow([photo.path, name, f"{best[1]:.6f}", *every])
