"""`budwood compare`: which network suits these photos, and how much of it?"""

from pathlib import Path

import click

from budwood.cli.options import PHOTOS, RATE, setting_option
from budwood.cli.output import common_options, console, show


@click.command("compare")
@click.argument("data", type=PHOTOS)
@click.option(
    "--models",
    "names",
    multiple=True,
    metavar="NAME|GLOB[=WEIGHTS],...",
    help="Networks to compare, separated by commas; =none for random weights. "
    "[default: all whose weights are installed or downloaded]",
)
@setting_option(
    "precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Arithmetic of the networks."
)
@setting_option("device", help="Device that the networks run on.")
@click.option(
    "--margin",
    type=RATE,
    metavar="RATE",
    default=0.01,
    show_default=True,
    help="How much worse than the best a recommended stage may be: 0.01 is one point of accuracy.",
)
@setting_option("seed")
@setting_option("strict")
@setting_option("store_limit")
@common_options
def command(
    data: Path,
    names: tuple[str, ...],
    precision: str,
    device: str,
    margin: float,
    seed: int,
    strict: bool,
    store_limit: int | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Compare networks, cut at every stage, on photos in DATA.

    On each stage a linear probe is cross-validated. Photos go through a network once, which fills
    all its stages; what is stored is not computed again. Test photos take no part.

    Recommended is the quickest stage that is non-inferior: the photos must show that it is less
    than the margin worse than the best. Where they are too few for that, none is recommended.

    \b
    Examples:
      budwood compare photos/
      budwood compare photos/ --models 'efficientnet_lite*,resnet18'
    """
    from budwood.features.gathering import Extraction
    from budwood.tasks.compare import compare  # torch is loaded here

    asked = [name.strip() for text in names for name in text.split(",") if name.strip()]
    extraction = Extraction(precision=precision, device=device, store_limit=store_limit)
    comparison = compare(
        data,
        asked or None,
        extraction=extraction,
        margin=margin,
        seed=seed,
        strict=strict,
        reporter=console("extracting"),
    )
    show(comparison, as_json)
