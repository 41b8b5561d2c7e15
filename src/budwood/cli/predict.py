"""`budwood predict`: what is on these photos?"""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from budwood.cli.output import ProgressLine, common_options, note, show

if TYPE_CHECKING:
    from budwood.predictions import Predictions


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--top", type=click.IntRange(1), default=3, show_default=True, help="Classes named per photo."
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a table with every probability; - for stdout.",
)
@common_options
def command(
    run: Path, paths: tuple[str, ...], top: int, table: Path | None, as_json: bool, debug: bool
) -> None:
    """Predict the class of photos with the classifier in RUN.

    PATH is a photo, a folder of photos (subfolders included), or - for a list of paths on stdin,
    one a line. A photo that cannot be read is named and passed over.

    \b
    Examples:
      budwood predict runs/flowers-efficientnet_lite0 IMG_0001.jpg
      find . -name '*.jpg' | budwood predict runs/flowers-efficientnet_lite0 - --csv out.csv
    """
    from budwood.predictions import predict_run

    listed = [line.rstrip("\n") for line in sys.stdin] if "-" in paths else []
    asked = [Path(path) for path in (*(p for p in paths if p != "-"), *filter(None, listed))]
    predictions = predict_run(run, asked, top, note, ProgressLine("predicting"))
    if table is not None:
        _write(predictions, table)
        if str(table) == "-":
            return
        note(f"{len(predictions.photos)} rows in {table}")
    show(predictions, as_json)


def _write(predictions: "Predictions", table: Path) -> None:
    """One row a photo: path, class, probability, then the probability of every class."""
    with click.open_file(str(table), "w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "class", "probability", *predictions.classes])
        for photo in predictions.photos:
            best = photo.top[0]
            every = [f"{p:.6f}" for p in photo.probabilities]
            writer.writerow([photo.path, best[0], f"{best[1]:.6f}", *every])
