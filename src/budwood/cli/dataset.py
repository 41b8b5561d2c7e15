"""Commands on photos before anything is trained: `budwood audit`, `compare` and `doctor`."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from budwood.cli.options import IMAGES, RATE, setting_option
from budwood.cli.output import STARTED, common_options, console, note, show


@click.command("audit")
@click.argument("data", type=IMAGES)
@setting_option("model", help="The network by whose features photos are judged.")
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
@setting_option(
    "group", help="Column of a CSV list that tells which photos belong together. [default: group]"
)
@setting_option("seed", help="Same seed, same findings.")
@setting_option("store_limit")
@common_options
def audit(
    data: Path,
    model: str,
    table: Path | None,
    fix: Path | None,
    group: str | None,
    seed: int,
    store_limit: int | None,
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
    show(with_fixes(found, [one.to_json() for one in fixes]))


@click.command("compare")
@click.argument("data", type=IMAGES)
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
def compare(
    data: Path,
    names: tuple[str, ...],
    precision: str,
    device: str,
    margin: float,
    seed: int,
    strict: bool,
    store_limit: int | None,
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
    comparison = compare(
        data,
        asked or None,
        extraction=Extraction(precision=precision, device=device, store_limit=store_limit),
        margin=margin,
        seed=seed,
        strict=strict,
        reporter=console("extracting"),
    )
    show(comparison)


@click.command("doctor")
@click.argument("data", type=IMAGES, required=False, metavar="[DATA]")
@setting_option("model", help="The network that forecasts are made for.")
@common_options
def doctor(data: Path | None, model: str) -> None:
    """Check this machine, and forecast a training on DATA.

    Cores, memory, libraries, engines, the store, and which weights are here. With DATA: minutes and
    memory of training a head, the last stage or the whole network, from a few seconds of trying,
    and what is wrong with the folder. Nothing is changed, and no network is needed.

    \b
    Examples:
      budwood doctor
      budwood doctor photos/ --model resnet18
    """
    with TemporaryDirectory() as place:  # importing torch makes a folder
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = place
        from budwood.tasks.doctor import doctor  # torch is loaded here

        show(doctor(data, model=model, started=STARTED))
