"""`budwood inspect`: a network layer by layer, without its weights."""

from pathlib import Path

import click

from budwood.cli.options import (
    NetworkOrRun,
    Shape,
    SurgeryCommand,
    surgery_options,
    surgery_steps,
)
from budwood.cli.output import common_options, show


@click.command("inspect", cls=SurgeryCommand)
@click.argument("what", type=NetworkOrRun(), metavar="NAME|RUN")
@click.option("--input", "shape", type=Shape(), help="Input size. [default: the network's own]")
@click.option(
    "--depth", type=click.IntRange(1), metavar="N", help="Show layers down to this depth only."
)
@surgery_options
@click.option(
    "--classes", type=click.IntRange(1), metavar="N", help="Replace the head for so many classes."
)
@click.option(
    "--head",
    metavar="linear|mlp:2048,1024",
    help="The new head. Needs --classes. [default: linear]",
)
@common_options
def command(
    what: Path | str,
    shape: tuple[int, int, int] | None,
    depth: int | None,
    classes: int | None,
    head: str | None,
    as_json: bool,
    debug: bool,
    freeze: tuple[str, ...],
    unfreeze: tuple[str, ...],
) -> None:
    """Show the layers of a network: shapes, sizes, what is frozen.

    NAME is what `budwood models` lists; RUN is what `budwood train` made, shown as it was frozen.

    \b
    Examples:
      budwood inspect vgg16
      budwood inspect resnet50 --depth 1 --freeze '*' --unfreeze fc
    """
    if head is not None and classes is None:
        raise click.UsageError("--head needs --classes.")
    from budwood.networks.building import build
    from budwood.networks.heads import replace_head
    from budwood.runs import network_of_run
    from budwood.surgery.freezing import freeze as freeze_layers
    from budwood.surgery.freezing import unfreeze as unfreeze_layers
    from budwood.surgery.summary import summarize

    if isinstance(what, Path):
        network = network_of_run(what)
    else:
        network = build(what, weights="none", device="meta")
    if classes is not None:
        replace_head(network, classes, head or "linear")
    for action, pattern in surgery_steps():
        (freeze_layers if action == "freeze" else unfreeze_layers)(network, pattern)
    show(summarize(network, shape, depth), as_json)
