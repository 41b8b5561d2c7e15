"""`budwood report`: the result as a page to look at."""

from pathlib import Path

import click

from budwood.cli.options import RUN
from budwood.cli.output import common_options, console, show


@click.command("report")
@click.argument("run", type=RUN)
@click.option(
    "--lang",
    "language",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="English or Chinese.",
)
@common_options
def command(run: Path, language: str, as_json: bool, debug: bool) -> None:
    """Write the report of RUN, a page to look at.

    It is one HTML file with everything in it; a model card lies beside it.

    The page shows the result with its interval, the network, the confusion matrix, the photos
    worth a look and where the network looked on them, its calibration,
    what more photos would bring, and all that is needed to repeat it. It needs no network; photos
    in it are small copies.

    \b
    Examples:
      budwood report runs/flowers-efficientnet_lite0
      budwood report runs/flowers-efficientnet_lite0 --lang zh
    """
    from budwood.tasks.report import report  # torch is loaded here

    show(report(run, language=language, reporter=console("extracting")), as_json)
