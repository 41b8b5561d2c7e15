"""`budwood models`: the catalogue of networks."""

from dataclasses import asdict

import click

from budwood.cli.output import common_options, show
from budwood.errors import UnknownName
from budwood.networks.catalog import models


@click.command("models")
@click.argument("pattern", default="*", metavar="[GLOB]")
@common_options
def command(pattern: str, as_json: bool, debug: bool) -> None:
    """List the networks whose name matches GLOB, with parameters and input size.

    \b
    Examples:
      budwood models
      budwood models 'resnet*'
      budwood models 'timm/*'
    """
    found = models(pattern)
    if not found:
        raise UnknownName(
            f"No network matches {pattern!r}.",
            next="`budwood models` lists all; quote the glob: 'resnet*'.",
        )
    if as_json:
        show({"models": [asdict(architecture) for architecture in found]}, as_json)
        return
    width = max(len(architecture.name) for architecture in found)
    for architecture in found:
        size = "x".join(map(str, architecture.input))
        click.echo(
            f"{architecture.name:<{width}}  {architecture.parameters / 1e6:>8.2f} M"
            f"  {size:>11}  {architecture.source}"
        )
