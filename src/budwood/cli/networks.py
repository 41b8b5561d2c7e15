"""Commands on networks: `budwood models`, `inspect` and `graft`."""

import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from budwood.cli.options import (
    NETWORK_OR_RUN,
    SHAPE,
    SettingsCommand,
    require_folder_of,
    setting_option,
    surgery_steps,
)
from budwood.cli.output import common_options, note, show, show_text, wants_json
from budwood.course.bundled import names as recipe_names
from budwood.errors import ConfigError, UnknownName
from budwood.head_kinds import head_examples
from budwood.models.catalog import Architecture, find, list_models

if TYPE_CHECKING:
    from torch import nn

    from budwood.inspection.summary import Summary


@dataclass(frozen=True)
class Networks:
    """Some networks of the catalogue."""

    found: tuple[Architecture, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"models": [asdict(architecture) for architecture in self.found]}

    def __str__(self) -> str:
        width = max(len(architecture.name) for architecture in self.found)
        return "\n".join(
            f"{architecture.name:<{width}}  {architecture.parameters / 1e6:>8.2f} M"
            f"  {'x'.join(map(str, architecture.input)):>11}  {architecture.source}"
            for architecture in self.found
        )


@click.command("models")
@click.argument("pattern", default="*", metavar="[GLOB]")
@common_options
def models(pattern: str) -> None:
    """List the networks whose name matches GLOB.

    Each with its parameters in millions, its input size (channels, height, width) and the library
    that defines it.

    \b
    Examples:
      budwood models
      budwood models 'resnet*'
      budwood models 'timm/*'
    """
    found = list_models(pattern)
    if not found and not set("*?[") & set(pattern):
        find(pattern)  # raises, with the nearest name
    if not found:
        raise UnknownName(
            f"No network matches {pattern!r}.",
            next="`budwood models` lists all; quote the glob: 'resnet*'.",
        )
    show(Networks(found))


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
    "--head", metavar=head_examples(), help="The new head. Needs --classes. [default: linear]"
)
@common_options
def inspect(
    what: Path | str,
    shape: tuple[int, int, int] | None,
    batch: int | None,
    depth: int | None,
    formulas: bool,
    kind: str,
    drawing: Path | None,
    classes: int | None,
    head: str | None,
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
    if wants_json() and kind != "text":
        raise click.UsageError(f"--format {kind} and --json cannot both go to stdout.")
    if drawing is not None:
        if drawing.suffix.lower() != ".svg":
            raise click.UsageError(
                f"--draw writes SVG; name a file that ends in .svg, not {drawing}."
            )
        require_folder_of(drawing, "--draw")
    from budwood.inspection.summary import cached_summary

    def built() -> "Summary":
        from budwood.inspection.summarizing import summarize
        from budwood.models.heads import replace_head
        from budwood.surgery.freezing import freeze, unfreeze
        from budwood.tasks.preparing import network_to_inspect

        network, usual_batch = network_to_inspect(what)
        if classes is not None:
            replace_head(network, classes, head or "linear")
        for action, pattern in surgery_steps():
            (freeze if action == "freeze" else unfreeze)(network, pattern)
        summary = summarize(network, shape, batch=batch or usual_batch)
        if drawing is not None:
            _draw(network, summary.input, str(what), drawing)
        return summary

    if drawing is not None or isinstance(what, Path) or what in recipe_names():
        summary = built()
    else:  # kept, so that torch is needed the first time only
        about = [find(what).qualified, shape, batch, classes, head or "linear", surgery_steps()]
        summary = cached_summary(about, built)
    summary = summary.to_depth(depth)
    if wants_json():
        show(summary)
    else:
        show_text(_text(summary, kind, formulas).rstrip("\n"))


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


@click.command("graft")
@click.argument("recipe", metavar="NAME|FILE")
@click.option(
    "--classes",
    type=click.IntRange(1),
    metavar="N",
    help='How many classes "classes" stands for. [default: the recipe\'s]',
)
@click.option("--input", "shape", type=SHAPE, help="Input size. [default: the recipe's]")
@click.option("--adapt", is_flag=True, help="Join layers that do not fit, as `adapt = true` does.")
@click.option(
    "--depth", type=click.IntRange(1), metavar="N", help="Show layers down to this depth only."
)
@common_options
def graft(
    recipe: str,
    classes: int | None,
    shape: tuple[int, int, int] | None,
    adapt: bool,
    depth: int | None,
) -> None:
    """Put a network together from layers of others, and show it.

    RECIPE has a [graft] table: layers and ranges of layers of any pretrained network
    (`{ from = "resnet18.conv1..layer2" }`) and new layers (`{ new = "Conv2d", ... }`), in order.
    What each takes and gives is checked before anything is built or downloaded; notes tell of
    adapters and of normalisations that contradict each other. `budwood train DATA --recipe FILE`
    trains the graft.

    \b
    Examples:
      budwood graft vgg16-graft
      budwood graft mine.toml --adapt
    """
    from budwood.tasks.graft import show_graft

    shown = show_graft(recipe, classes, shape, adapt, depth)
    for line in shown.notes:
        note(line)
    show(shown)
