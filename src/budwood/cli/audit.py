"""`budwood audit`: what is wrong with these photos?"""

from pathlib import Path

import click

from budwood.cli.options import PHOTOS, NetworkName, Size
from budwood.cli.output import ProgressLine, common_options, note, show


@click.command("audit")
@click.argument("data", type=PHOTOS)
@click.option(
    "--model",
    type=NetworkName(),
    default="efficientnet_lite0",
    show_default=True,
    help="The network by whose features photos are judged.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the findings as a list, one line a photo, with a column `action` to fill in.",
)
@click.option(
    "--fix",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Carry out the column `action` of such a list: `remove`, or `move to CLASS`. Photos are "
    "moved, never deleted.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Same seed, same findings.",
)
@click.option(
    "--store-limit",
    type=Size(),
    metavar="SIZE",
    help="Store no features if all stored ones would exceed this, for example 20GB.",
)
@common_options
def command(
    data: Path,
    model: str,
    table: Path | None,
    fix: Path | None,
    seed: int,
    store_limit: int | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Find what is wrong with the photos in DATA.

    Broken, double, leaking, mislabelled, strange and lopsided ones are looked for.

    Nothing is changed without --fix. Each finding has a reason and says what to do.

    \b
    Examples:
      budwood audit photos/
      budwood audit photos/ --csv findings.csv      # fill in the column action, then
      budwood audit photos/ --fix findings.csv
    """
    from budwood.audits import (  # torch is loaded here
        apply_findings,
        audit,
        require_folder,
        write_findings,
    )
    from budwood.features.gathering import Extraction

    if fix is not None:
        require_folder(data)
        for line in apply_findings(fix, data):
            note(line)
    found = audit(
        data,
        model=model,
        extraction=Extraction(store_limit=store_limit),
        seed=seed,
        on_note=note,
        on_progress=ProgressLine("extracting"),
    )
    if table is not None:
        write_findings(table, found.findings)
        note(f"{len(found.findings)} findings in {table}")
    show(found, as_json)
