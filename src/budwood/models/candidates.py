"""The networks that are meant by names, globs and `NAME=WEIGHTS`, and those that are at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from budwood.errors import UnknownName
from budwood.models.catalog import Architecture, find, list_models
from budwood.models.sources import SOURCES, source, source_of
from budwood.models.weights import folder


@dataclass(frozen=True)
class Candidate:
    """A network to compare."""

    model: str
    weights: str = "imagenet"

    def __str__(self) -> str:
        return self.model + ("" if self.weights == "imagenet" else f"={self.weights}")


def candidates(asked: Sequence[str]) -> tuple[Candidate, ...]:
    """The networks meant by names, globs and `NAME=WEIGHTS`; by none, all that are at hand."""
    found: dict[str, Candidate] = {}
    for text in asked:
        pattern, _, weights = text.partition("=")
        matching = [a.name for a in list_models(pattern)]
        if not matching and not set("*?[") & set(pattern):
            matching = [find(pattern).name]  # or the nearest name is told
        if not matching:
            raise UnknownName(
                f"No network matches {pattern!r}.",
                next="`budwood models` lists all; quote the glob: 'resnet*'.",
            )
        for name in matching:
            found[f"{name}={weights}"] = Candidate(name, weights or "imagenet")
    if not asked:
        for one in at_hand():
            candidate = Candidate(
                one.architecture.name, "imagenet" if one.is_default else one.weights
            )
            found[f"{candidate}"] = candidate
    return tuple(found.values())


@dataclass(frozen=True)
class LocalWeights:
    """A network with published weights that `build` makes without a download."""

    architecture: Architecture
    weights: str
    is_default: bool
    """True for those that `imagenet` stands for."""
    file: Path

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size


def at_hand() -> tuple[LocalWeights, ...]:
    """All weights on this machine, those of the smallest network first.

    Classics that are another library's network have that one's weights, and are left out.
    """
    files, found = _files(), list[LocalWeights]()
    for origin in SOURCES:
        library = source(origin)
        for name, tag, file in library.at_hand(files):
            is_default = tag == library.tags(name)[0]
            found.append(LocalWeights(find(f"{origin}/{name}"), tag, is_default, file))
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
