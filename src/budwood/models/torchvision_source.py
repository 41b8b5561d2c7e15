"""torchvision's architectures: their published weights, preprocessing and structure."""

import re
from collections.abc import Container, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budwood.images.preprocessing import Preprocessing
from budwood.models import weights
from budwood.models.catalog import list_models
from budwood.models.downloads import Progress
from budwood.models.sources import Source, among

if TYPE_CHECKING:
    from torch import Tensor, nn

_AUX_HEADS = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}


class TorchvisionSource(Source):
    """torchvision's networks."""

    def names(self) -> Sequence[str]:
        import torchvision

        return tuple(torchvision.models.list_models(module=torchvision.models))

    def tags(self, name: str) -> tuple[str, ...]:
        default = _entry(name, None).name
        return (default, *(entry.name for entry in _entries(name) if entry.name != default))

    def tag_of_file(self, name: str, file: str) -> str | None:
        for entry in _entries(name):
            if entry.url.rsplit("/", 1)[-1] == file:
                return str(entry.name)
        return None

    def preprocessing(self, name: str, tag: str | None) -> Preprocessing:
        transforms = _entry(name, tag).transforms()
        height, width = (transforms.crop_size * 2)[:2]
        return Preprocessing(
            size=(height, width),
            resize=transforms.resize_size[0],
            interpolation=transforms.interpolation.value,
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        )

    def classes(self, name: str, tag: str) -> tuple[str, ...] | None:
        return tuple(_entry(name, tag).meta["categories"])

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        from torchvision.models import get_model_builder

        from budwood.models.constructing import NumbersOnCPU

        entry = _entry(name, tag)
        options: dict[str, Any] = {
            "num_classes": classes or len(entry.meta["categories"] or range(1000))
        }
        if name.startswith("vit_"):
            options["image_size"] = entry.meta["min_size"][0]
        if name in _AUX_HEADS:
            # They always re-normalise their input, as their published weights need, so that the
            # structure does not depend on whether those were loaded.
            options |= {"aux_logits": aux_heads, "transform_input": True, "init_weights": True}
        with NumbersOnCPU() if name.startswith("regnet_") else nullcontext():
            network: nn.Module = get_model_builder(name)(**options)
        return network

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        return weights.published(str(_entry(name, tag).url), on_progress=on_progress)

    def layouts(
        self, name: str, network: "nn.Module", state: "dict[str, Tensor]", aux_heads: bool
    ) -> "Iterator[dict[str, Tensor]]":
        dropped = () if aux_heads else self.aux_heads(name)
        names = network.state_dict().keys()
        yield {
            _current(key, names): tensor
            for key, tensor in state.items()
            if not key.startswith(dropped)
        }

    def aux_heads(self, name: str) -> tuple[str, ...]:
        return _AUX_HEADS.get(name, ())

    def recognised(self, network: "nn.Module") -> str | None:
        return ""  # what it renames is renamed in any network

    def adapt(self, network: "nn.Module") -> Iterator[str]:
        for module in network.modules():
            if getattr(module, "transform_input", None) is False:
                module.transform_input = True  # type: ignore[assignment]
                yield (
                    f"{type(module).__name__}.transform_input is now True, as its published "
                    "weights need it."
                )

    def at_hand(self, files: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        return among(self, list_models("torchvision/*"), files)


SOURCE = TorchvisionSource()


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet, in the usual order of their rows; no two are called alike."""
    return tuple(_entry("resnet18", None).meta["categories"])


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
