"""`budwood inspect`: a network layer by layer, without its weights."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from budwood.cli.options import (
    NETWORK_OR_RUN,
    SHAPE,
    SettingsCommand,
    setting_option,
    surgery_steps,
)
from budwood.cli.output import common_options, note, show, show_text
from budwood.errors import ConfigError
from budwood.head_kinds import head_examples
from budwood.models.catalog import find

if TYPE_CHECKING:
    from torch import nn

    from budwood.inspection.summary import Summary


@click.command("inspect", cls=SettingsCommand)
@click.argument("what", type=NETWORK_OR_RUN, metavar="NAME|RECIPE|RUN")
@click.option("--input", "shape", type=SHAPE, help="Input size. [default: the network's own]")
@click.option(
    "--batch",
    type=click.IntRange(1),
    metavar="N",
    help="Photos in the batch. [default: 1, or the recipe's]",
)
@click.option(
    "--depth", type=click.IntRange(1), metavar="N", help="Show layers down to this depth only."
)
@click.option(
    "--formulas",
    is_flag=True,
    help="Show how each size and number of parameters comes about, layer by layer. "
    "(Markdown, CSV and JSON always do.)",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "markdown", "csv"]),
    default="text",
    show_default=True,
    help="Print the table as this.",
)
@click.option(
    "--draw",
    "drawing",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.svg",
    help="Draw the network into this file as well.",
)
@setting_option("surgery")
@click.option(
    "--classes", type=click.IntRange(1), metavar="N", help="Replace the head for so many classes."
)
@click.option(
    "--head",
    metavar=head_examples(),
    help="The new head. Needs --classes. [default: linear]",
)
@common_options
def command(
    what: Path | str,
    shape: tuple[int, int, int] | None,
    batch: int | None,
    depth: int | None,
    formulas: bool,
    kind: str,
    drawing: Path | None,
    classes: int | None,
    head: str | None,
    as_json: bool,
    debug: bool,
    freeze: tuple[str, ...],
    unfreeze: tuple[str, ...],
) -> None:
    """Show the layers of a network: shapes, sizes, what is frozen.

    NAME is what `budwood models` lists; RECIPE is what `budwood recipe list` lists, or a file;
    RUN is what `budwood train` made, shown as it was frozen.

    \b
    Examples:
      budwood inspect vgg16
      budwood inspect alexnet_course --formulas
      budwood inspect resnet50 --depth 1 --freeze '*' --unfreeze fc
      budwood inspect vgg16-graft --format markdown --draw graft.svg
    """
    if head is not None and classes is None:
        raise click.UsageError("--head needs --classes.")
    if as_json and kind != "text":
        raise click.UsageError(f"--format {kind} and --json cannot both go to stdout.")
    if drawing is not None:
        _require_place(drawing)
    summary = _summary(what, shape, batch, drawing, classes, head or "linear")
    summary = summary.to_depth(depth)
    if as_json:
        show(summary, as_json)
    else:
        show_text(_text(summary, kind, formulas).rstrip("\n"))


def _summary(
    what: Path | str,
    shape: tuple[int, int, int] | None,
    batch: int | None,
    drawing: Path | None,
    classes: int | None,
    head: str,
) -> "Summary":
    """The summary; of a network of the catalogue it is kept, and torch is needed the first time
    only."""
    from budwood.course.bundled import names as recipe_names
    from budwood.inspection.summary import cached_summary

    def built() -> "Summary":
        from budwood.inspection.summarizing import summarize
        from budwood.models.heads import replace_head
        from budwood.surgery.freezing import freeze, unfreeze
        from budwood.tasks.preparing import network_to_inspect

        network, usual_batch = network_to_inspect(what)
        if classes is not None:
            replace_head(network, classes, head)
        for action, pattern in surgery_steps():
            (freeze if action == "freeze" else unfreeze)(network, pattern)
        summary = summarize(network, shape, batch=batch or usual_batch)
        if drawing is not None:
            _draw(network, summary.input, str(what), drawing)
        return summary

    if drawing is not None or isinstance(what, Path) or what in recipe_names():
        return built()
    about = [find(what).qualified, shape, batch, classes, head, surgery_steps()]
    return cached_summary(about, built)


def _text(summary: "Summary", kind: str, formulas: bool) -> str:
    if kind == "markdown":
        return summary.to_markdown()
    if kind == "csv":
        return summary.to_csv()
    if formulas:
        # What is piped goes into a file or a search, where a long line does no harm.
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return summary.formulas(width)
    return str(summary)


def _require_place(drawing: Path) -> None:
    """Raise unless a drawing of that name can be made, before torch is loaded."""
    if drawing.suffix.lower() != ".svg":
        raise click.UsageError(f"--draw writes SVG; name a file that ends in .svg, not {drawing}.")
    if not drawing.absolute().parent.is_dir():
        raise ConfigError(
            f"There is no folder {drawing.parent} for {drawing.name}.",
            next="Make it, or name another file after --draw.",
            file=drawing,
        )


def _draw(network: "nn.Module", batch: tuple[int, ...], title: str, drawing: Path) -> None:
    from budwood.drawing.network_drawing import draw

    _, channels, height, width = batch
    picture = draw(network, (channels, height, width), title=title)
    try:
        picture.save(drawing)
    except OSError as problem:
        raise ConfigError(
            f"The drawing cannot be saved to {drawing}: {problem.strerror or problem}.",
            next="Name a file in a folder that can be written after --draw.",
            file=drawing,
        ) from problem
    note(f"The drawing is in {drawing}")
