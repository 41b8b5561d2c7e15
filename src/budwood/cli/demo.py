"""`budwood demo`: the whole job on pictures that are installed with it, offline."""

from pathlib import Path

import click

from budwood.cli.output import STARTED, ProgressLine, common_options, note, show


@click.command("demo")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Folder for the pictures and the result. [default: BUDWOOD_HOME/demo]",
)
@common_options
def command(out: Path | None, as_json: bool, debug: bool) -> None:
    """Train, judge, predict and verify on embedded pictures.

    Needs no network and no photos. Ten surfaces, 64-pixel grey patches: the left side of each
    picture trains, the right side tests.

    \b
    Example:
      budwood demo
    """
    from budwood.demonstration import run_demo
    from budwood.places import home

    show(run_demo(out or home() / "demo", note, ProgressLine("extracting"), STARTED), as_json)
