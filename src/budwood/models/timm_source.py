"""timm's architectures: their published weights, preprocessing and structure."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from budwood.errors import ConfigError, WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models import weights
from budwood.models.catalog import list_models
from budwood.models.downloads import Progress
from budwood.models.sources import Source, among
from budwood.models.torchvision_source import imagenet_classes

if TYPE_CHECKING:
    from torch import Tensor, nn


class TimmSource(Source):
    """timm's networks."""

    def names(self) -> Sequence[str]:
        import timm

        return tuple(timm.list_models())

    def input(self, name: str) -> tuple[int, int, int]:
        channels, height, width = _config(name, None).input_size
        return channels, height, width

    def tags(self, name: str) -> tuple[str, ...]:
        import timm

        published = [full.removeprefix(f"{name}.") for full in timm.list_pretrained(f"{name}.*")]
        return tuple(sorted(published, key=lambda tag: tag != _config(name, None).tag))

    def tag_of_file(self, name: str, file: str) -> str | None:
        for tag in self.tags(name):
            url = _config(name, tag).url or ""
            if Path(file).stem == f"{name}.{tag}" or url.rsplit("/", 1)[-1] == file:
                return tag
        return None

    def preprocessing(self, name: str, tag: str | None) -> Preprocessing:
        from timm.data import resolve_data_config

        config = resolve_data_config(pretrained_cfg=_config(name, tag).to_dict())
        height, width = config["input_size"][1:]
        exact = math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])
        squashed = config["crop_mode"] == "squash"
        square_crop = config["crop_mode"] == "center" and height == width
        if exact[0] < height or not (squashed or square_crop):
            raise ConfigError(
                f"{name} was trained on photos of {height} x {width} with crop mode "
                f"{config['crop_mode']!r} and crop share {config['crop_pct']}, which adds a "
                "border.",
                expected="Budwood crops squares from the centre, or squashes photos to an exact "
                "size.",
                next="Choose another architecture: `budwood models` lists them.",
            )
        return Preprocessing(
            size=(height, width),
            resize=exact if squashed else exact[0],
            interpolation=config["interpolation"],
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
        )

    def classes(self, name: str, tag: str) -> tuple[str, ...] | None:
        from timm.data import ImageNetInfo, infer_imagenet_subset

        config = _config(name, tag).to_dict()
        subset = infer_imagenet_subset(config)
        if subset is None:
            names = config.get("label_names")
            return tuple(map(str, names)) if names and len(names) == config["num_classes"] else None
        if subset == "imagenet-1k":
            return imagenet_classes()
        info = ImageNetInfo(subset)
        return tuple(info.index_to_description(i) for i in range(info.num_classes()))

    def construct(
        self, name: str, tag: str | None, classes: int | None, aux_heads: bool
    ) -> "nn.Module":
        import timm

        network: nn.Module = timm.create_model(
            f"{name}.{tag}" if tag else name, num_classes=classes
        )
        return network

    def file(self, name: str, tag: str, on_progress: Progress | None) -> Path:
        config = _config(name, tag)
        if config.hf_hub_id:
            files = (config.hf_hub_filename,) if config.hf_hub_filename else weights.HUB_FILES
            return weights.from_hub(
                config.hf_hub_id, f"{name}.{tag}", files=files, on_progress=on_progress
            )
        if config.url and not config.custom_load:
            return weights.published(config.url, on_progress=on_progress)
        raise WeightsError(
            f"The weights {tag!r} of {name} are not published in a form that can be read safely.",
            next=f"Choose others of {', '.join(self.tags(name))}, or pass --weights PATH.",
        )

    def pretrained(self, name: str, tag: str, file: Path) -> "nn.Module":
        import timm

        try:
            network: nn.Module = timm.create_model(
                name,
                pretrained=True,
                pretrained_cfg=tag,
                pretrained_cfg_overlay={"file": str(file), "custom_load": False},
            )
        except (SafetensorError, RuntimeError, ValueError, LookupError, OSError) as error:
            raise WeightsError(
                f"The file {file} does not hold the weights {tag!r} of {name}: "
                f"{(str(error) or type(error).__name__).splitlines()[0]}",
                next="Remove it and try again.",
                file=file,
            ) from None
        config: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
        del config["file"]
        return network

    def layouts(
        self, name: str, network: "nn.Module", state: "dict[str, Tensor]", aux_heads: bool
    ) -> "Iterator[dict[str, Tensor]]":
        yield state
        for convert in _converters(name):
            # A converter fails in any way on a file that is not of the layout it was made for; the
            # caller then reports how the file as it is differs from the network.
            with suppress(RuntimeError, ValueError, LookupError, TypeError, AttributeError):
                yield _converted(convert, network, state)

    def recognised(self, network: "nn.Module") -> str | None:
        config = _own_config(network)
        return None if config is None else config.get("architecture")

    def at_hand(self, files: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        # They are kept as NAME.TAG.safetensors or .bin.
        kept = [file for file in files if file.suffix in (".safetensors", ".bin")]
        named = {file.name.partition(".")[0] for file in kept}
        known = [each for each in list_models("timm/*") if each.bare in named]
        return among(self, known, kept)


SOURCE = TimmSource()


def told_heads(network: "nn.Module") -> tuple[list[str], int] | None:
    """The paths of the heads and the number of classes of a network that timm made."""
    if (config := _own_config(network)) is None:
        return None
    named = config.get("classifier") or ()
    paths = [named] if isinstance(named, str) else list(named)
    modules = dict(network.named_modules())
    # Some configurations do not tell of the second head of a distilled network.
    twins = [path.replace("head", "head_dist", 1) for path in paths]
    paths += [twin for twin in twins if twin in modules and twin not in paths]
    return paths, int(getattr(network, "num_classes", 0))


def _own_config(network: "nn.Module") -> dict[str, Any] | None:
    """What timm writes to a network that it makes."""
    config = getattr(network, "pretrained_cfg", None)
    return config if isinstance(config, dict) else None


def _converted(
    convert: Callable[..., "dict[str, Tensor]"], network: "nn.Module", state: "dict[str, Tensor]"
) -> "dict[str, Tensor]":
    takes_network = len(signature(convert).parameters) > 1
    return convert(dict(state), network) if takes_network else convert(dict(state))


def _converters(name: str) -> list[Callable[..., "dict[str, Tensor]"]]:
    """The functions by which timm's own loader converts checkpoints of this architecture."""
    from timm.models import model_entrypoint

    module = sys.modules[model_entrypoint(name).__module__]
    return [value for key, value in vars(module).items() if "filter_fn" in key and callable(value)]


def _config(name: str, tag: str | None) -> Any:
    from timm.models import get_pretrained_cfg

    return get_pretrained_cfg(f"{name}.{tag}" if tag else name)
