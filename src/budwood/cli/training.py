"""The options of `budwood train`, which `budwood recipe run` has as well."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from budwood.cli.options import (
    PHOTOS,
    RATE,
    NetworkName,
    seed_option,
    store_limit_option,
    surgery_options,
    surgery_steps,
)
from budwood.cli.output import STARTED, EpochTable, ProgressLine, note, reached, show
from budwood.learning.algorithms import ASKED

Command = TypeVar("Command", bound=Callable[..., Any])


def _of_sgd(help: str, default: object) -> str:
    """The help of an option that the fitted head does not have; see `learning.algorithms`."""
    return f"With --fit sgd: {help} [default: {default}]"


OPTIONS = (
    click.option(
        "--model",
        type=NetworkName(),
        default="efficientnet_lite0",
        show_default=True,
        help="Backbone; `budwood models` lists them.",
    ),
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        metavar="NAME|PATH|none",
        help="Published weights by name, a .pth or .safetensors file, or none (random).",
    ),
    surgery_options,
    click.option(
        "--head",
        default="linear",
        show_default=True,
        metavar="linear|mlp:2048,1024",
        help="What is trained on top: one linear layer, or hidden layers of these widths "
        "before it.",
    ),
    click.option(
        "--aux-heads",
        is_flag=True,
        help="Keep the auxiliary classifiers of GoogLeNet and Inception; their last layers train.",
    ),
    click.option(
        "--fit",
        type=click.Choice(ASKED),
        default="auto",
        show_default=True,
        help="Algorithm: logistic fits a linear head to its optimum by logistic regression, sgd "
        "trains on mini-batches with --optimizer. auto is logistic where only a linear head "
        "trains, sgd elsewhere and with --epochs.",
    ),
    click.option(
        "--epochs",
        type=click.IntRange(1),
        metavar="N",
        help=_of_sgd("passes over the photos.", 30),
    ),
    click.option(
        "--lr",
        type=click.FloatRange(0, min_open=True),
        metavar="X",
        help=_of_sgd("peak learning rate.", 0.001),
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1),
        metavar="N",
        help=_of_sgd("photos in a step.", 32),
    ),
    click.option(
        "--optimizer",
        type=click.Choice(["adamw", "adam", "sgd"]),
        help=_of_sgd("how a step is made.", "adamw"),
    ),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "constant"]),
        help=_of_sgd("learning rate over the epochs.", "cosine"),
    ),
    click.option(
        "--patience",
        type=click.IntRange(1),
        metavar="N",
        help=_of_sgd("stop after so many epochs without a better validation loss.", "never"),
    ),
    click.option("--test", type=PHOTOS, help="Another folder whose photos are the test set."),
    click.option(
        "--val",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        metavar="FRACTION",
        help=_of_sgd(
            "share of the training photos set aside to steer early stopping; without --patience "
            "they calibrate.",
            0.0,
        ),
    ),
    click.option(
        "--test-fraction",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        default=0.2,
        show_default=True,
        metavar="FRACTION",
        help="Share of the photos that is the test set where the folder has none.",
    ),
    click.option(
        "--kfold",
        type=click.IntRange(2),
        metavar="K",
        help="Also run K-fold cross-validation on all photos outside the given test set; groups "
        "are never torn.",
    ),
    click.option(
        "--learning-curve",
        is_flag=True,
        help="Also fit a learning curve and forecast the accuracy with more photos, or say that it "
        "cannot be forecast.",
    ),
    click.option(
        "--abstain",
        type=RATE,
        metavar="RATE",
        help="Target error rate for selective prediction, kept with 90 % confidence; reports "
        "coverage and error on the test set.",
    ),
    click.option(
        "--group",
        metavar="COLUMN",
        help="Column of a CSV list; photos with the same entry are held out together, in the test "
        "set and in every fold. Equal files, copies and bursts are so anyway. [default: group]",
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16", "int8"]),
        default="auto",
        show_default=True,
        help="Arithmetic of the frozen part; auto is bf16 where the processor has it, "
        "int8 is used only where a trial on your photos shows that it is as good.",
    ),
    click.option(
        "--device",
        default="cpu",
        show_default=True,
        metavar="cpu|cuda|mps",
        help="Where the frozen part runs.",
    ),
    click.option(
        "--size",
        type=click.IntRange(1),
        metavar="PX",
        help="Input size. [default: that of the weights]",
    ),
    seed_option(),
    click.option("--strict", is_flag=True, help="A single broken photo is an error."),
    store_limit_option(),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="RUN",
        help="Folder for the result, new or empty and not in DATA. [default: runs/DATA-MODEL]",
    ),
    click.option("--replace", is_flag=True, help="Replace an earlier run in RUN."),
    click.option(
        "--report/--no-report",
        default=True,
        show_default=True,
        help="Write a page with the result to look at, and a model card, into RUN.",
    ),
)
"""In the order in which --help shows them."""


def training_options(command: Command) -> Command:
    """All that can be said about a training but for the photos and the recipe."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def train(data: Path, recipe: str | None, options: dict[str, Any], as_json: bool) -> None:
    """Train as the options say; where a recipe is given, they say what is different from it."""
    note(f"Looking at the photos in {data}.")  # what follows is slow to import
    from budwood.course.recipes import load_recipe  # torch is loaded from here on
    from budwood.request import Request
    from budwood.tasks.train import run_training

    source = click.get_current_context().get_parameter_source
    settings = {k: v for k, v in options.items() if k not in ("freeze", "unfreeze")}
    given = {k: v for k, v in settings.items() if source(k) is ParameterSource.COMMANDLINE}
    chosen = None if recipe is None else load_recipe(recipe)
    request = (
        Request(data=data, surgery=surgery_steps(), **settings)
        if chosen is None
        else chosen.request(data, {**given, "surgery": surgery_steps()})
    )
    progress = ProgressLine("extracting")
    run = run_training(
        request, note, progress, EpochTable(), STARTED, chosen, lambda: reached("training")
    )
    show(run, as_json)
