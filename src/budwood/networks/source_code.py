"""A digest of the code that a library's networks are made of, without importing it.

What was once found out about a network holds as long as this digest is the same.
"""

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

from budwood.networks.catalog import Source

CODE: dict[str, tuple[str, ...]] = {
    "torchvision": (
        "models/*.py",
        "ops/misc.py",
        "ops/stochastic_depth.py",
        "transforms/_presets.py",
    ),
    "timm": ("models/**/*.py", "layers/**/*.py", "data/config.py", "data/constants.py"),
    "budwood": (
        "classics/alexnet.py",
        "networks/classics_source.py",
        "classics/efficientnet.py",
        "classics/googlenet.py",
        "classics/googlenet.py",
        "classics/initialising.py",
        "classics/lenet.py",
        "networks/packaged_source.py",
        "classics/resnet.py",
        "classics/scaling.py",
        "classics/vgg.py",
    ),
}
"""Of each package, the files that decide on layers and on the size of their input."""

PACKAGES: dict[Source, tuple[str, ...]] = {
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "packaged": ("budwood",),
    # The classics that another library has weights for take photos of the size it says.
    "budwood": ("budwood", "torchvision", "timm"),
}
"""The packages that the networks of a source are made of, beside torch."""

_RELEASE = re.compile(r"^__version__ = '(\d+\.\d+)", re.M)


def code_digest(source: Source) -> str | None:
    """What the installed networks of a source are made of, as 32 hexadecimal digits.

    It counts the files of `CODE`, the release of torch (2.9, without patch and build), and the
    environment variables by which timm chooses its layers.

    Returns:
        None if one of the packages is not installed as readable files.

    Example:
        >>> code_digest("packaged") != code_digest("timm") != code_digest("torchvision")
        True
    """
    parts = [_torch_release(), *map(_package_digest, PACKAGES[source])]
    if "timm" in PACKAGES[source]:
        parts.append(str(sorted(_settings_of_timm())))
    return None if None in parts else _digest(str(parts).encode())


def _package_digest(package: str) -> str | None:
    folder = _folder(package)
    found = folder and sorted(file for glob in CODE[package] for file in folder.glob(glob))
    if not folder or not found:
        return None
    hash = blake2b(digest_size=16)
    for file in found:
        content = file.read_bytes()
        hash.update(f"{file.relative_to(folder).as_posix()} {len(content)}\n".encode())
        hash.update(content)
    return hash.hexdigest()


def _torch_release() -> str | None:
    folder = _folder("torch")
    if folder is None or not (file := folder / "version.py").is_file():
        return None
    found = _RELEASE.search(file.read_text("utf-8"))
    return found and found[1]


def _folder(package: str) -> Path | None:
    """Where a package lies; it is not imported."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _settings_of_timm() -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in os.environ.items() if name.startswith("TIMM_"))


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
