"""Where architectures come from: one object for each library, and the table of them all."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from budwood.images.preprocessing import Preprocessing
from budwood.models.catalog import Architecture, list_models
from budwood.models.downloads import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

_MODULES = {
    "torchvision": "torchvision_source",
    "packaged": "packaged_source",
    "budwood": "classics_source",
    "timm": "timm_source",
}
"""The module of each source, whose `SOURCE` it is. A bare name is that of the first that has it."""


class Source(Protocol):
    """A library of architectures; a tag names a set of published weights."""

    def names(self) -> Sequence[str]:
        """Every architecture, for the catalogue."""
        ...

    def tags(self, name: str) -> tuple[str, ...]:
        """The published weights of an architecture, the default first; none if it has none."""
        ...

    def tag_of_file(self, name: str, file: str) -> str | None:
        """The tag whose weights are published, or kept here, under this file name."""
        ...

    def preprocessing(self, name: str, tag: str | None) -> Preprocessing:
        """What the weights of that tag, or the default ones, expect."""
        ...

    def classes(self, name: str, tag: str) -> tuple[str, ...] | None:
        """What the weights of that tag call their classes, if anything tells."""
        ...

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        """The structure that the weights of that tag, or the default ones, fit into."""
        ...

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        """The file of the weights of that tag on this machine, downloaded if it is not here yet."""
        ...

    def layouts(
        self, name: str, network: "nn.Module", state: "dict[str, Tensor]", aux_heads: bool
    ) -> "Iterator[dict[str, Tensor]]":
        """The tensors of a file as they are, and as the library converts older or foreign names."""
        yield state

    def input(self, name: str) -> tuple[int, int, int]:
        """Channels, height and width of the images that the default weights expect."""
        usual = self.preprocessing(name, None)
        return len(usual.mean), *usual.size

    def aux_heads(self, name: str) -> tuple[str, ...]:
        """What the names of the tensors of its auxiliary classifiers begin with."""
        return ()

    def publisher(self, name: str) -> "tuple[Source, str]":
        """Whose published weights those of an architecture are: a source, and its name there."""
        return self, name

    def pretrained(self, name: str, tag: str, file: Path) -> "nn.Module | None":
        """The network with the published weights in a file, where the library must load them."""
        return None

    def recognised(self, network: "nn.Module") -> str | None:
        """The name of a network that the library itself made, for `layouts`."""
        return None

    def adapt(self, network: "nn.Module") -> Iterator[str]:
        """Change what weights of this library need besides tensors, and say so."""
        return iter(())

    def at_hand(self, files: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        """Name, tag and file of the published weights among the downloaded files."""
        return iter(())


SOURCES = tuple(_MODULES)


@cache
def source(name: str) -> Source:
    """The source of that name; its module is imported when it is first asked for."""
    found: Source = import_module(f"budwood.models.{_MODULES[name]}").SOURCE
    return found


def source_of(architecture: Architecture) -> Source:
    """The source that an architecture comes from."""
    return source(architecture.source)


def among(
    library: Source, architectures: Sequence[Architecture], files: Sequence[Path]
) -> Iterator[tuple[str, str, Path]]:
    """Name, tag and file of the weights of these architectures whose files are there."""
    for architecture in architectures:
        for file in files:
            if (tag := library.tag_of_file(architecture.bare, file.name)) is not None:
                yield architecture.bare, tag, file


def with_aux_heads() -> Iterator[str]:
    """The architectures that have auxiliary classifiers."""
    for name in SOURCES:
        library = source(name)
        for architecture in list_models(f"{name}/*"):
            if library.aux_heads(architecture.bare):
                yield architecture.qualified
