"""`budwood predict`: what is on these photos?"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from budwood.cli.options import RUN_OR_NETWORK, existing, require_folder_of, setting_option
from budwood.cli.output import common_options, console, note, show, show_bytes, wants_json
from budwood.data.labels import UNKNOWN
from budwood.errors import ConfigError
from budwood.files import csv_bytes, path_cell, write_list

if TYPE_CHECKING:
    from budwood.tasks.predict import Predictions

DASH = Path("-")
"""Stands for stdin or stdout."""
PATH = existing("photo or folder")


@click.command("predict")
@click.argument("run", type=RUN_OR_NETWORK, metavar="RUN|NETWORK")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Classes named per photo. [default: 3; of a NETWORK 5]",
)
@setting_option(
    "abstain",
    help="Let the classifier abstain so that, with 90 % confidence, at most this share of its "
    "answers is wrong: images that are too unsure or out of distribution are unknown.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a table with every probability; - for stdout. Its column `unknown` is true of "
    "photos that --abstain leaves unanswered.",
)
@common_options
def predict(
    run: Path | str,
    paths: tuple[Path, ...],
    top: int | None,
    abstain: float | None,
    table: Path | None,
) -> None:
    """Predict the class of photos with a classifier or a network.

    NETWORK is a name that `budwood models` lists: it says which of its own classes it sees, most
    often the 1,000 of ImageNet, without any training. A run of that name comes first.

    PATH is a photo, a folder of photos (subfolders included), or - for a list of paths on stdin,
    one a line; lines that begin with # are comments, unless there is such a file. What is not there
    or cannot be read is named and passed over; the exit code is 0 if any photo was answered.

    \b
    Examples:
      budwood predict efficientnet_lite0 IMG_0001.jpg
      budwood predict runs/flowers-efficientnet_lite0 IMG_0001.jpg
      find . -name '*.jpg' | budwood predict runs/flowers-efficientnet_lite0 - --csv out.csv
    """
    to_stdout = table == DASH
    if to_stdout and wants_json():
        raise click.UsageError("--csv - and --json cannot both go to stdout.")
    if table is not None and not to_stdout:
        require_folder_of(table, "--csv")
        if not os.access(table.absolute().parent, os.W_OK):
            raise ConfigError(
                f"The folder {table.absolute().parent} cannot be written.",
                next="Name a file elsewhere after --csv.",
                file=table,
            )
    from budwood.tasks.predict import predict

    predictions = predict(
        run,
        _asked(paths),
        top=top,
        abstain=abstain,
        every_class=table is not None,
        reporter=console("predicting", keeps="nothing"),
    )
    if table is not None:
        _write(predictions, table)
    if not to_stdout:
        show(predictions)
    if table is not None and not to_stdout:
        note(f"{len(predictions.images)} rows in {table}")


def _asked(paths: tuple[Path, ...]) -> list[Path]:
    """The paths given, with those listed on stdin in the place of a `-`.

    Where none is there that is told before torch is loaded, with the nearest name.
    """
    given = [path.expanduser() for path in paths]
    if DASH not in given:
        if not any(os.path.exists(path) for path in given):
            PATH.convert(given[0], None, None)
        return given
    listed = [Path(line) for line in sys.stdin.read().splitlines() if _is_path(line)]
    return [one for path in given for one in (listed if path == DASH else [path])]


def _is_path(line: str) -> bool:
    return bool(line.strip()) and (not line.startswith("#") or os.path.lexists(line))


def _write(predictions: "Predictions", table: Path) -> None:
    """One row a photo: path, class, probability, whether it is unknown, then the probability of
    every class. A class that is called like one of the first columns has its own name in brackets
    behind `probability`, so that no two columns are called the same."""
    own = ("path", "class", "probability", UNKNOWN)
    classes = [f"probability ({name})" if name in own else name for name in predictions.classes]
    rows = [[*own, *classes]]
    for image in predictions.images:
        best = image.top[0]
        every = [] if image.probabilities is None else [f"{p:.6f}" for p in image.probabilities]
        name, is_unknown = (UNKNOWN, "true") if image.unknown else (best[0], "false")
        rows.append([path_cell(image.path), name, f"{best[1]:.6f}", is_unknown, *every])
    if table == DASH:
        show_bytes(csv_bytes(rows))
    else:
        write_list(table, rows)
