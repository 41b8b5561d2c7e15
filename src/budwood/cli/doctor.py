"""`budwood doctor`: is this machine fit, and what will training take?"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from budwood.cli.options import NETWORK, PHOTOS
from budwood.cli.output import STARTED, common_options, show


@click.command("doctor")
@click.argument("data", type=PHOTOS, required=False, metavar="[DATA]")
@click.option(
    "--model",
    type=NETWORK,
    default="efficientnet_lite0",
    show_default=True,
    help="The network that forecasts are made for.",
)
@common_options
def command(data: Path | None, model: str, as_json: bool, debug: bool) -> None:
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

        show(doctor(data, model=model, started=STARTED), as_json)
