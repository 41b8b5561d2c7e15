"""Every architecture by name, read from a table beside this file; never imports torch."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

from budwood.classics.scaling import LARGEST_PHI, count_parameters, phi_of, scale_by
from budwood.display import displayed
from budwood.errors import UnknownName
from budwood.text import did_you_mean


@displayed
@dataclass(frozen=True)
class Architecture:
    """One row of the catalogue."""

    name: str
    """As it is asked for: bare, or `timm/NAME` where the bare name is another library's."""
    source: str
    """The library that defines it; `packaged` ones have their weights in the package index, those
    of `budwood` are written from their papers."""
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


def list_models(pattern: str = "*") -> tuple[Architecture, ...]:
    """The architectures whose name matches a glob, whatever its case, sorted by name.

    The pattern is held against the name and against the name with its source, so `timm/*` gives
    all of timm. What matches nothing gives an empty tuple. `efficientnet_phi(2)`, which is in no
    list, matches itself.

    Example:
        >>> [architecture.name for architecture in list_models("ResNet5?")]
        ['resnet50']
    """
    pattern = pattern.lower()
    if (scaled := _scaled(pattern.removeprefix("budwood/"))) is not None:
        return (scaled,)
    return tuple(
        architecture
        for architecture in _table()
        if fnmatchcase(architecture.name.lower(), pattern)
        or fnmatchcase(architecture.qualified.lower(), pattern)
    )


def find(name: str) -> Architecture:
    """The architecture of that name: a bare one is torchvision's, else timm's.

    `efficientnet_phi(1.5)`, with any number from 0 to 20, is EfficientNet scaled by its rule.
    """
    found = _by_name().get(name) or _scaled(name.removeprefix("budwood/"))
    if found is not None:
        return found
    if name.removeprefix("budwood/").startswith("efficientnet_phi"):
        raise UnknownName(
            f"No architecture is called {name!r}.",
            expected=f"It must be efficientnet_phi(N) with a number from 0 to {LARGEST_PHI:g}.",
            next="efficientnet_phi(0) is B0.",
        )
    near = nearest(name)
    raise UnknownName(
        f"No architecture is called {name!r}.",
        expected=f"Did you mean {near!r}?" if near else None,
        next="`budwood models` lists them.",
    )


def nearest(name: str) -> str | None:
    """The name of the catalogue that is nearest to another; None if none is near."""
    return did_you_mean(name.lower(), _by_name())


def _scaled(name: str) -> Architecture | None:
    """EfficientNet of any size, by the number in its name."""
    if (phi := phi_of(name)) is None:
        return None
    scale = scale_by(phi)
    size = (3, scale.resolution, scale.resolution)
    return Architecture(name, "budwood", count_parameters(scale), size)


@lru_cache(maxsize=1)
def _table() -> tuple[Architecture, ...]:
    lines = files("budwood.models").joinpath("catalog.tsv").read_text("utf-8").splitlines()
    return tuple(_row(*line.split("\t")) for line in lines[1:])


def _row(
    name: str, source: str, parameters: str, channels: str, height: str, width: str
) -> Architecture:
    size = (int(channels), int(height), int(width))
    return Architecture(name, source, int(parameters), size)


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Architecture]:
    qualified = {architecture.qualified: architecture for architecture in _table()}
    return qualified | {architecture.name: architecture for architecture in _table()}
