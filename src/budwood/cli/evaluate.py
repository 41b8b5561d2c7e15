"""`budwood evaluate`: judge a saved classifier on labelled photos."""

from pathlib import Path

import click

from budwood.cli.options import PHOTOS, RUN
from budwood.cli.output import ProgressLine, common_options, note, show


@click.command("evaluate")
@click.argument("run", type=RUN)
@click.argument("data", type=PHOTOS)
@click.option("--strict", is_flag=True, help="A single broken photo is an error.")
@common_options
def command(run: Path, data: Path, strict: bool, as_json: bool, debug: bool) -> None:
    """Judge the classifier in RUN on the photos in DATA.

    DATA is a folder with one subfolder per class; where it has train, val and test folders its
    test photos are taken. Classes are matched by name.

    \b
    Example:
      budwood evaluate runs/flowers-efficientnet_lite0 more-flowers/
    """
    from budwood.judgements import evaluate_run

    show(evaluate_run(run, data, strict, note, ProgressLine("extracting")), as_json)
