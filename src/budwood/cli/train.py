"""`budwood train`: from a folder of photos to a judged, saved classifier."""

from pathlib import Path
from typing import Any

import click

from budwood.cli.options import Size, SurgeryCommand, surgery_options, surgery_steps
from budwood.cli.output import STARTED, EpochTable, ProgressLine, common_options, note, show


@click.command("train", cls=SurgeryCommand)
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--model", default="efficientnet_lite0", show_default=True, help="Backbone, by name.")
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="NAME|PATH|none",
    help="Published weights by name, a .pth or .safetensors file, or none (random).",
)
@surgery_options
@click.option(
    "--head",
    default="linear",
    show_default=True,
    metavar="linear|mlp:2048,1024",
    help="What is trained on top: one linear layer, or hidden layers of these widths before it.",
)
@click.option("--epochs", type=int, help="Passes over the photos. [default: 30, none for a probe]")
@click.option("--lr", type=float, help="Peak learning rate. [default: 0.001]")
@click.option("--batch-size", type=int, help="Photos in a step. [default: 32]")
@click.option("--optimizer", type=str, metavar="adamw|adam|sgd", help="[default: adamw]")
@click.option("--schedule", type=str, metavar="cosine|constant", help="[default: cosine]")
@click.option("--patience", type=int, help="Stop after N epochs without a better validation loss.")
@click.option(
    "--test", type=click.Path(path_type=Path), help="Another folder whose photos are the test set."
)
@click.option(
    "--val",
    type=float,
    default=0.0,
    metavar="FRACTION",
    help="Set this share of the training photos aside to steer early stopping.",
)
@click.option(
    "--test-fraction",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of the photos that is the test set where the folder has none.",
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    metavar="auto|fp32|bf16",
    help="Arithmetic of the frozen part.",
)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda|mps")
@click.option("--size", type=int, metavar="PX", help="Another input size than the network's own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same numbers.")
@click.option("--strict", is_flag=True, help="A single broken photo is an error.")
@click.option(
    "--store-limit",
    type=Size(),
    metavar="SIZE",
    help="Store no features if all stored ones would exceed this, for example 20GB.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Folder for the result. [default: runs/DATA-MODEL]",
)
@common_options
def command(as_json: bool, debug: bool, **options: Any) -> None:
    """Train a classifier on the photos in DATA, judge it, save it.

    DATA is a folder with one subfolder of photos per class, or with train, val and test folders
    that hold such, or a CSV file with columns path,label[,split].

    \b
    Examples:
      budwood train photos/
      budwood train photos/ --model resnet50 --unfreeze 'layer4*' --epochs 5
      budwood train photos/ --head mlp:256 --epochs 20 --out runs/wider
    """
    from budwood.runs import Request, run_training  # torch is loaded from here on

    for name in ("freeze", "unfreeze"):
        options.pop(name)
    request = Request(surgery=surgery_steps(), **options)
    run = run_training(request, note, ProgressLine("extracting"), EpochTable(), STARTED)
    show(run, as_json)
