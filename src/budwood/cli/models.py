"""`budwood models`: the catalogue of networks."""

from dataclasses import asdict, dataclass
from typing import Any

import click

from budwood.cli.output import common_options, show
from budwood.errors import UnknownName
from budwood.models.catalog import Architecture, find, list_models


@dataclass(frozen=True)
class Networks:
    """Some networks of the catalogue."""

    found: tuple[Architecture, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {"models": [asdict(architecture) for architecture in self.found]}

    def __str__(self) -> str:
        width = max(len(architecture.name) for architecture in self.found)
        return "\n".join(
            f"{architecture.name:<{width}}  {architecture.parameters / 1e6:>8.2f} M"
            f"  {'x'.join(map(str, architecture.input)):>11}  {architecture.source}"
            for architecture in self.found
        )


@click.command("models")
@click.argument("pattern", default="*", metavar="[GLOB]")
@common_options
def command(pattern: str, as_json: bool, debug: bool) -> None:
    """List the networks whose name matches GLOB.

    Each with its parameters in millions, its input size (channels, height, width) and the library
    that defines it.

    \b
    Examples:
      budwood models
      budwood models 'resnet*'
      budwood models 'timm/*'
    """
    found = list_models(pattern)
    if not found and not set("*?[") & set(pattern):
        find(pattern)  # raises, with the nearest name
    if not found:
        raise UnknownName(
            f"No network matches {pattern!r}.",
            next="`budwood models` lists all; quote the glob: 'resnet*'.",
        )
    show(Networks(found), as_json)
