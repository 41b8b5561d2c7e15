"""`budwood graft`: a network put together from layers, checked and shown."""

import click

from budwood.cli.options import SHAPE
from budwood.cli.output import common_options, note, show


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
def command(
    recipe: str,
    classes: int | None,
    shape: tuple[int, int, int] | None,
    adapt: bool,
    depth: int | None,
    as_json: bool,
    debug: bool,
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
    show(shown, as_json)
