"""`budwood audit`: what is wrong with these photos?"""

from pathlib import Path

import click

from budwood.cli.options import NETWORK, PHOTOS, setting_option
from budwood.cli.output import common_options, console, note, show


@click.command("audit")
@click.argument("data", type=PHOTOS)
@click.option(
    "--model",
    type=NETWORK,
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
    "--group",
    metavar="COLUMN",
    help="Column of a CSV list that tells which photos belong together. [default: group]",
)
@setting_option("seed", help="Same seed, same findings.")
@setting_option("store_limit")
@common_options
def command(
    data: Path,
    model: str,
    table: Path | None,
    fix: Path | None,
    group: str | None,
    seed: int,
    store_limit: int | None,
    as_json: bool,
    debug: bool,
) -> None:
    """Find what is wrong with the photos in DATA.

    Finds unreadable files, duplicates, train/test leaks, label errors, outliers and
    class imbalance.

    Nothing is changed without --fix. Each finding has a reason and says what to do.

    \b
    Examples:
      budwood audit photos/
      budwood audit photos/ --csv findings.csv      # fill in the column action, then
      budwood audit photos/ --fix findings.csv
    """
    note(f"Looking at the photos in {data}.")  # what follows is slow to import
    from budwood.features.gathering import Extraction
    from budwood.tasks.audit import audit, require_network, with_fixes  # torch is loaded here
    from budwood.tasks.fixes import apply_findings, require_new, write_findings

    if table is not None:
        require_new(table)
    if fix is not None:  # what cannot be audited afterwards is not touched
        require_network(data, model)
    fixes = [] if fix is None else apply_findings(fix, data, group)
    for one in fixes:
        note(one)
    if fix is not None and not fixes:
        note(f"No line of {fix} asks for anything: its column action is empty.")
    found = audit(
        data,
        model=model,
        extraction=Extraction(store_limit=store_limit),
        seed=seed,
        group=group,
        reporter=console("extracting"),
    )
    if table is not None:
        write_findings(table, found.findings)
        note(f"{table} lists what was found: fill in its column action, then --fix {table}.")
    show(with_fixes(found, [one.to_json() for one in fixes]), as_json)
