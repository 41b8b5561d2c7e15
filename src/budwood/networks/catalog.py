"""Every architecture by name, read from a table beside this file; never imports torch."""

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from typing import Literal, cast

from budwood.errors import UnknownName

Source = Literal["torchvision", "timm", "packaged"]


@dataclass(frozen=True)
class Architecture:
    """One row of the catalogue.

    Example:
        >>> print(find("resnet50"))
        resnet50 (torchvision, 25,557,032 parameters, input 3 x 224 x 224)
    """

    name: str
    """As it is asked for: bare, or `timm/NAME` where the bare name is another library's."""
    source: Source
    """The library that defines it; `packaged` ones have their weights in the package index."""
    parameters: int
    """All of them, head included, auxiliary heads not."""
    input: tuple[int, int, int]
    """Channels, height and width that its default weights expect."""

    @property
    def qualified(self) -> str:
        """The name with its source: `torchvision/resnet50`."""
        return f"{self.source}/{self.bare}"

    @property
    def bare(self) -> str:
        """What its own library calls it: `resnet50`."""
        return self.name.removeprefix(f"{self.source}/")

    def __str__(self) -> str:
        size = " x ".join(map(str, self.input))
        return f"{self.name} ({self.source}, {self.parameters:,} parameters, input {size})"


def models(pattern: str = "*") -> tuple[Architecture, ...]:
    """The architectures whose name matches a glob, whatever its case, sorted by name.

    The pattern is held against the name and against the name with its source, so `timm/*` gives
    all of timm. What matches nothing gives an empty tuple.

    Example:
        >>> [architecture.name for architecture in models("ResNet5?")]
        ['resnet50']
    """
    pattern = pattern.lower()
    return tuple(
        architecture
        for architecture in _table()
        if fnmatchcase(architecture.name.lower(), pattern)
        or fnmatchcase(architecture.qualified.lower(), pattern)
    )


def find(name: str) -> Architecture:
    """The architecture of that name: a bare one is torchvision's, else timm's.

    Raises:
        UnknownName: If there is none; the message names the nearest.

    Example:
        >>> find("timm/resnet50").source, find("resnet50").source
        ('timm', 'torchvision')
    """
    found = _by_name().get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name.lower(), _by_name(), n=1)
    raise UnknownName(
        f"No architecture is called {name!r}.",
        expected=f"Did you mean {near[0]!r}?" if near else None,
        next="`budwood models` lists them.",
    )


@lru_cache(maxsize=1)
def _table() -> tuple[Architecture, ...]:
    lines = files("budwood.networks").joinpath("catalog.tsv").read_text("utf-8").splitlines()
    return tuple(_row(*line.split("\t")) for line in lines[1:])


def _row(
    name: str, source: str, parameters: str, channels: str, height: str, width: str
) -> Architecture:
    size = (int(channels), int(height), int(width))
    return Architecture(name, cast(Source, source), int(parameters), size)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Architecture]:
    qualified = {architecture.qualified: architecture for architecture in _table()}
    return qualified | {architecture.name: architecture for architecture in _table()}
