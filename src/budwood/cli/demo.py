"""`budwood demo`: the whole job on pictures that are installed with it, offline."""

from pathlib import Path

import click

from budwood.cli.output import STARTED, common_options, console, show


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
def command(out: Path | None, replace: bool, as_json: bool, debug: bool) -> None:
    """Train, judge, predict and verify on embedded pictures.

    Needs no network and no photos. Ten surfaces, 64-pixel grey patches: the left side of each
    picture trains, the right side tests.

    \b
    Example:
      budwood demo
    """
    from budwood.files import home
    from budwood.tasks.demo import run_demo

    demo = run_demo(out or home() / "demo", console("extracting"), STARTED, replace)
    show(demo, as_json)
