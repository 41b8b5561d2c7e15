"""`budwood verify`: does a saved classifier still give the same answers?"""

from pathlib import Path

import click

from budwood.cli.options import RUN
from budwood.cli.output import common_options, show


@click.command("verify")
@click.argument("run", type=RUN)
@common_options
def command(run: Path, as_json: bool, debug: bool) -> int:
    """Prove that the classifier in RUN still gives the same answers.

    It carries a few drawn pictures and what it said to them. Exit code 1 if the answers differ.

    \b
    Example:
      budwood verify runs/flowers-efficientnet_lite0
    """
    from budwood.capsule.verify import verify

    verification = verify(run)
    show(verification, as_json)
    return 0 if verification.passed else 1
