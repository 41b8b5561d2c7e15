"""`budwood explain`: where did it look?"""

from pathlib import Path

import click

from budwood.cli.options import RUN, existing
from budwood.cli.output import common_options, console, show


@click.command("explain")
@click.argument("run", type=RUN)
@click.argument("photos", nargs=-1, required=True, type=existing("photo"), metavar="PHOTO...")
@click.option("--layer", metavar="NAME", help="The layer whose map is shown. [default: the last]")
@click.option(
    "--class", "named", metavar="NAME", help="The class to explain. [default: the predicted one]"
)
@click.option("--maps", metavar="LAYER", help="Draw what this layer makes of the first photo too.")
@click.option("--filters", is_flag=True, help="Draw the filters of the first convolution too.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for the pictures, not among the photos. [default: explained]",
)
@common_options
def command(
    run: Path,
    photos: tuple[Path, ...],
    layer: str | None,
    named: str | None,
    maps: str | None,
    filters: bool,
    out: Path | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Show where the classifier in RUN looked on a PHOTO.

    The map shows the places whose features speak for the class; the training photos that are most
    alike stand beside it.

    \b
    Examples:
      budwood explain runs/flowers-efficientnet_lite0 IMG_0001.jpg
      budwood explain runs/flowers-efficientnet_lite0 IMG_0001.jpg --class roses --layer blocks.4
    """
    from budwood.tasks.explain import explain

    found = explain(
        run,
        photos,
        out,
        layer=layer,
        named=named,
        maps=maps,
        filters=filters,
        reporter=console("extracting"),
    )
    show(found, as_json)
