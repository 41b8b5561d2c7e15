"""The published weights that are on this machine: installed, or downloaded before."""

from dataclasses import dataclass
from pathlib import Path

from budwood.networks.catalog import Architecture, find
from budwood.networks.sources import SOURCES, source, source_of
from budwood.networks.weights import folder


@dataclass(frozen=True)
class AtHand:
    """A network with published weights that `build` makes without a download."""

    architecture: Architecture
    weights: str
    """Their name."""
    is_default: bool
    """True for those that `imagenet` stands for."""
    file: Path

    @property
    def bytes(self) -> int:
        """Of the file."""
        return self.file.stat().st_size


def at_hand() -> tuple[AtHand, ...]:
    """All weights on this machine, those of the smallest network first.

    Classics that are another library's network have that one's weights, and are left out.
    """
    files, found = _files(), list[AtHand]()
    for origin in SOURCES:
        library = source(origin)
        for name, tag, file in library.at_hand(files):
            is_default = tag == library.tags(name)[0]
            found.append(AtHand(find(f"{origin}/{name}"), tag, is_default, file))
    return tuple(sorted(found, key=lambda one: (one.architecture.parameters, not one.is_default)))


def published_file(architecture: Architecture, weights: str) -> Path | None:
    """The file of published weights of that name; None if they are not on this machine."""
    publisher, name = source_of(architecture).publisher(architecture.bare)
    found = (
        file for known, tag, file in publisher.at_hand(_files()) if (known, tag) == (name, weights)
    )
    return next(found, None)


def _files() -> list[Path]:
    place = folder()
    files = sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else []
    return [file for file in files if not file.name.startswith(".")]  # locks, and unfinished
