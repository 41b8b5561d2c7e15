"""`budwood predict`: what is on these photos?"""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from budwood.cli.options import RATE, Existing, RunOrNetwork
from budwood.cli.output import ProgressLine, common_options, note, show
from budwood.errors import ConfigError

if TYPE_CHECKING:
    from budwood.predictions import Predictions

DASH = Path("-")
"""Stands for stdin or stdout."""


@click.command("predict")
@click.argument("run", type=RunOrNetwork(), metavar="RUN|NETWORK")
@click.argument(
    "paths", nargs=-1, required=True, type=Existing("photo or folder"), metavar="PATH..."
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Classes named per photo. [default: 3; of a NETWORK 5]",
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
    run: Path | str,
    paths: tuple[Path, ...],
    top: int | None,
    abstain: float | None,
    table: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Predict the class of photos with the classifier in RUN, or with a NETWORK as published.

    NETWORK is a name that `budwood models` lists: it says which of its own classes it sees, most
    often the 1,000 of ImageNet, without any training. A run of that name comes first.

    PATH is a photo, a folder of photos (subfolders included), or - for a list of paths on stdin,
    one a line. A photo that cannot be read is named and passed over.

    \b
    Examples:
      budwood predict efficientnet_lite0 IMG_0001.jpg
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
        run, _asked(paths), top, note, ProgressLine("predicting", keeps="nothing"), abstain
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
            every = [f"{p:.6f}" for p in photo.probabilities]
            name = "unknown" if photo.unknown else best[0]
            writer.writerow([photo.path, name, f"{best[1]:.6f}", *every])
