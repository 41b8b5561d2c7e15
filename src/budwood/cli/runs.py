"""Commands on a trained classifier: `budwood evaluate`, `explain`, `report` and `verify`."""

from pathlib import Path
from typing import Any

import click

from budwood.cli.options import IMAGES, RUN, existing, setting_option
from budwood.cli.output import common_options, console, show


@click.command("evaluate")
@click.argument("runs", type=RUN, nargs=-1, required=True, metavar="RUN [RUN]")
@click.argument("data", type=IMAGES)
@setting_option("abstain")
@setting_option("strict")
@common_options
def evaluate(runs: tuple[Path, ...], data: Path, **options: Any) -> None:
    """Evaluate the classifier in RUN on the photos in DATA.

    With two runs, it tests which one is better on these photos.

    DATA is a folder with one subfolder per class; where it has train, val and test folders its
    test photos are taken. Classes are matched by name.

    \b
    Example:
      budwood evaluate runs/flowers-efficientnet_lite0 more-flowers/
      budwood evaluate runs/first runs/second more-flowers/
    """
    if len(runs) > 2:
        raise click.UsageError("One or two runs can be judged at a time.")
    from budwood.tasks.evaluate import evaluate

    judged = runs if len(runs) == 2 else runs[0]
    show(evaluate(judged, data, reporter=console("extracting"), **options))


@click.command("explain")
@click.argument("run", type=RUN)
@click.argument("images", nargs=-1, required=True, type=existing("photo"), metavar="IMAGE...")
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
def explain(run: Path, images: tuple[Path, ...], out: Path | None, **options: Any) -> None:
    """Show where the classifier in RUN looked on a PHOTO.

    The map shows the places whose features speak for the class; the training photos that are most
    alike stand beside it.

    \b
    Examples:
      budwood explain runs/flowers-efficientnet_lite0 IMG_0001.jpg
      budwood explain runs/flowers-efficientnet_lite0 IMG_0001.jpg --class roses --layer blocks.4
    """
    from budwood.tasks.explain import explain

    show(explain(run, images, out, reporter=console("extracting"), **options))


@click.command("report")
@click.argument("run", type=RUN)
@click.option(
    "--lang",
    "language",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="English or Chinese.",
)
@common_options
def report(run: Path, language: str) -> None:
    """Write the report of RUN, a page to look at.

    It is one HTML file with everything in it; a model card lies beside it.

    The page shows the result with its interval, the network, the confusion matrix, the photos
    worth a look and where the network looked on them, its calibration,
    what more photos would bring, and all that is needed to repeat it. It needs no network; photos
    in it are small copies.

    \b
    Examples:
      budwood report runs/flowers-efficientnet_lite0
      budwood report runs/flowers-efficientnet_lite0 --lang zh
    """
    from budwood.tasks.report import report  # torch is loaded here

    show(report(run, language=language, reporter=console("extracting")))


@click.command("verify")
@click.argument("run", type=RUN)
@common_options
def verify(run: Path) -> int:
    """Prove that the classifier in RUN still gives the same answers.

    It carries a few drawn pictures and what it said to them. Exit code 1 if the answers differ.

    \b
    Example:
      budwood verify runs/flowers-efficientnet_lite0
    """
    from budwood.capsule.verify import verify

    verification = verify(run)
    show(verification)
    return 0 if verification.passed else 1
