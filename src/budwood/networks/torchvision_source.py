"""torchvision's architectures: their published weights, preprocessing and structure."""

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budwood.images.preprocessing import Preprocessing
from budwood.networks import weights
from budwood.networks.downloading import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

AUX_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""The architectures that have auxiliary classifiers, and what their tensors begin with."""


def tags(name: str) -> tuple[str, ...]:
    """The published weights of an architecture, the default first."""
    default = _entry(name, None).name
    return (default, *(entry.name for entry in _entries(name) if entry.name != default))


def tag_of_file(name: str, file: str) -> str | None:
    """The tag that is published under this file name, if one is."""
    for entry in _entries(name):
        if entry.url.rsplit("/", 1)[-1] == file:
            return str(entry.name)
    return None


def preprocessing(name: str, tag: str | None) -> Preprocessing:
    """What the weights of that tag, or the default ones, expect."""
    transforms = _entry(name, tag).transforms()
    height, width = (transforms.crop_size * 2)[:2]
    return Preprocessing(
        size=(height, width),
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
    )


def classes(name: str, tag: str) -> tuple[str, ...] | None:
    """What the weights of that tag call their classes."""
    return tuple(_entry(name, tag).meta["categories"])


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet, in the usual order of their rows; no two are called alike."""
    return tuple(_entry("resnet18", None).meta["categories"])


def construct(name: str, tag: str | None, classes: int | None, aux_heads: bool) -> "nn.Module":
    """The structure that the weights of that tag, or the default ones, fit into.

    GoogLeNet and Inception always re-normalise their input (`transform_input`), as their
    published weights need; so the structure never depends on whether those were loaded.
    """
    from torchvision.models import get_model_builder

    entry = _entry(name, tag)
    options: dict[str, Any] = {
        "num_classes": classes or len(entry.meta["categories"] or range(1000))
    }
    if name.startswith("vit_"):
        options["image_size"] = entry.meta["min_size"][0]
    if name in AUX_HEADS:
        options |= {"aux_logits": aux_heads, "transform_input": True, "init_weights": True}
    network: nn.Module = get_model_builder(name)(**options)
    return network


def url(name: str, tag: str | None = None) -> str:
    """Where the weights of that tag, or the default ones, are published."""
    return str(_entry(name, tag).url)


def file(name: str, tag: str, on_progress: Progress | None) -> Path:
    """The file of the weights of that tag on this machine, downloaded if it is not here yet."""
    return weights.published(url(name, tag), on_progress=on_progress)


def layouts(
    name: str, network: "nn.Module", state: dict[str, "Tensor"], aux_heads: bool
) -> Iterator[dict[str, "Tensor"]]:
    """The tensors of a file under the names of today, without those of heads that are not kept."""
    dropped = () if aux_heads else AUX_HEADS.get(name, ())
    names = network.state_dict().keys()
    yield {
        _current(key, names): tensor for key, tensor in state.items() if not key.startswith(dropped)
    }


_RENAMED = (
    # DenseNet's layers had dots in their names, ViT's blocks were no Sequential.
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"\.mlp\.linear_1\."), ".mlp.0."),
    (re.compile(r"\.mlp\.linear_2\."), ".mlp.3."),
)


def _current(key: str, names: Container[str]) -> str:
    if key in names:
        return key
    for old, new in _RENAMED:
        if (renamed := old.sub(new, key)) in names:
            return renamed
    return key


def _entries(name: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name)


def _entry(name: str, tag: str | None) -> Any:
    return _entries(name)[tag or "DEFAULT"]
