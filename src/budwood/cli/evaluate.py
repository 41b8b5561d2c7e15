"""`budwood evaluate`: judge a saved classifier on labelled photos."""

from pathlib import Path

import click

from budwood.cli.options import PHOTOS, RUN, setting_option
from budwood.cli.output import common_options, console, show


@click.command("evaluate")
@click.argument("runs", type=RUN, nargs=-1, required=True, metavar="RUN [RUN]")
@click.argument("data", type=PHOTOS)
@setting_option("abstain")
@setting_option("strict")
@common_options
def command(
    runs: tuple[Path, ...],
    data: Path,
    abstain: float | None,
    strict: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Evaluate the classifier in RUN on the photos in DATA.

    With two runs, it tests which one is better on these photos.

    DATA is a folder with one subfolder per class; where it has train, val and test folders its
    test photos are taken. Classes are matched by name.

    \b
    Example:
      budwood evaluate runs/flowers-efficientnet_lite0 more-flowers/
      budwood evaluate runs/first runs/second more-flowers/
    """
    if len(runs) > 2:
        raise click.UsageError("One or two runs can be judged at a time.")
    from budwood.tasks.evaluate import evaluate

    found = evaluate(
        runs if len(runs) == 2 else runs[0],
        data,
        abstain=abstain,
        strict=strict,
        reporter=console("extracting"),
    )
    show(found, as_json)
