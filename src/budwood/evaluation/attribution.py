"""Where in a photo a network looked when it named a class, and what its layers see.

The map of a layer says, for each place, how much raising the features there would raise the class's
logit. Gradients are taken with respect to the layer's output, never to weights: so it makes no
difference what is frozen, where the network was put together, or whether it has auxiliary heads.

Reference: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017.

Convolutional networks give maps `n c h w`; some transformers `n h w c`; others a sequence of tokens
`n t d`, one for each patch of the photo, with a few in front that stand for no place. What looks
alike and is none, as attention over pairs of tokens, is told by its shape.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from budwood.errors import ConfigError
from budwood.learning.streaming import main_output
from budwood.tensors import Images
from budwood.text import did_you_mean

PREFIXES = (0, 1, 2, 5)
"""Tokens in front of those of the patches: none, a class, one to distil from, registers."""
SKEW = 0.3
"""How far the sides of a map may be from those of the photo, as a logarithm: small maps round."""

Size = tuple[int, int]


@dataclass(frozen=True)
class MapGrid:
    """Where the places of a photo are in an output."""

    kind: str
    """`n c h w`, `n h w c` or `n t d`."""
    height: int
    width: int

    def as_map(self, output: Tensor) -> Tensor:
        """The output as `n c h w`."""
        if self.kind == "n h w c":
            return output.permute(0, 3, 1, 2)
        if self.kind == "n t d":
            patches = output[:, -self.height * self.width :]
            n, _, d = patches.shape
            return patches.transpose(1, 2).reshape(n, d, self.height, self.width)
        return output


@dataclass(frozen=True)
class Layer:
    """A layer that gives a map."""

    name: str
    grid: MapGrid
    channels: int


def map_layers(network: nn.Module, images: Images) -> list[Layer]:
    """The layers and blocks whose output is a map of more than one place, in the order they run.

    What runs more than once, as an activation that is shared, is passed over.
    """
    seen: list[tuple[str, torch.Size]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            seen.append((name, output.shape))

    named = [name for name, _ in network.named_modules() if name]
    with _hooked(network, named, note), torch.inference_mode():
        network.eval()(images[:1])
    times = Counter(name for name, _ in seen)
    tokens = {shape[1] for _, shape in seen if len(shape) == 3}
    found: list[Layer] = []
    places: list[Size] = []
    """Sizes of the maps so far: the patches of a transformer come from one of them."""
    for name, shape in seen:
        grid = _grid(shape, images.shape[-2:], tokens, places)
        if grid is None:
            continue
        if grid.kind != "n t d":
            places.append((grid.height, grid.width))
        if times[name] == 1 and grid.height * grid.width > 1:
            channels = shape[1] if grid.kind == "n c h w" else shape[-1]
            found.append(Layer(name, grid, channels))
    return found


def last_map_layer(network: nn.Module, images: Images) -> str:
    """The name of the last layer whose map decides about the classes.

    Of tokens only the class's own may be read in the end; then an earlier layer is taken, whose
    other tokens still count.
    """
    layers = map_layers(network, images)
    if layers and layers[-1].grid.kind == "n t d":
        layers = _that_count(network, images, layers)
    if not layers:
        raise ConfigError(
            "No layer of this network gives a map that could be shown.",
            expected="A layer whose output has a value for each place of the photo.",
        )
    return layers[-1].name


def _that_count(network: nn.Module, images: Images, layers: list[Layer]) -> list[Layer]:
    """The layers of the usual width on whose patches the classes depend."""
    ((usual, _),) = Counter(layer.channels for layer in layers).most_common(1)
    wide = [layer for layer in layers if layer.channels == usual]
    outputs: dict[str, Tensor] = {}
    names = [layer.name for layer in wide]
    hooks = _hooked(network, names, outputs.__setitem__)
    with hooks, torch.inference_mode(False), torch.enable_grad():
        logits = main_output(network.eval()(images[:1].clone().requires_grad_()))
        gradients = torch.autograd.grad(
            logits.amax(), [outputs[name] for name in names], materialize_grads=True
        )
    return [
        layer
        for layer, gradient in zip(wide, gradients, strict=True)
        if bool((layer.grid.as_map(gradient) != 0).any())
    ]


def _grid(
    shape: torch.Size, image: torch.Size, tokens: set[int], places: list[Size]
) -> MapGrid | None:
    if len(shape) == 4:
        if _is_alike(shape[2:], image) and not set(shape[2:]) <= tokens:
            return MapGrid("n c h w", shape[2], shape[3])
        if _is_alike(shape[1:3], image) and shape[1:3] != shape[2:]:
            return MapGrid("n h w c", shape[1], shape[2])
    if len(shape) == 3:
        for height, width in reversed(places):
            if shape[1] - height * width in PREFIXES:
                return MapGrid("n t d", height, width)
    return None


def _is_alike(size: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """True if a map of this size can be one of the photo."""
    if min(size) < 1 or size[0] > image[0] or size[1] > image[1]:
        return False
    return abs(log(size[0] / image[0]) - log(size[1] / image[1])) < SKEW


def where_it_looked(
    network: nn.Module,
    images: Images,
    layer: str | None = None,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """For each photo, where raising the layer's features raises the class's logit.

    Maps `n h w` of the size of the images, 0 to 1; all 0 where nothing speaks for the class. By
    default the layer is the last whose map decides, and the class the one that is predicted. The
    network is put into eval mode and is not changed.
    """
    shown = _layer(network, images, layer)
    # A caller's inference mode would leave nothing to take gradients of.
    with _held(network, shown.name) as held, torch.inference_mode(False), torch.enable_grad():
        logits = main_output(network.eval()(images.clone()))
        chosen = logits.argmax(1) if classes is None else torch.tensor(list(classes))
        asked = logits.gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(asked, held[0], materialize_grads=True)
    gradient, features = shown.grid.as_map(gradient), shown.grid.as_map(held[0].detach())
    weights = gradient.mean((2, 3), keepdim=True)
    maps = (weights * features).sum(1, keepdim=True).clamp(min=0)
    maps = interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    highest = maps.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest.clamp(min=1e-30), 0.0)


def feature_maps(network: nn.Module, image: Images, layer: str) -> Tensor:
    """What a layer makes of one photo `1 c h w`: its maps `c h w`, each from 0 to 1."""
    shown = _layer(network, image, layer)
    with _held(network, layer) as held, torch.no_grad():
        network.eval()(image[:1])
    return _stretched(shown.grid.as_map(held[0].detach())[0])


def first_filters(network: nn.Module) -> Tensor:
    """The filters of the first convolution that sees the photo, `n 3 h w`, each from 0 to 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] in (1, 3):
            filters = module.weight.detach()
            return _stretched(filters.expand(-1, 3, -1, -1))
    raise ConfigError("No convolution of this network sees the photo's colours.")


def _stretched(maps: Tensor) -> Tensor:
    """Each entry of the first axis from its least to its greatest value."""
    flat = maps.reshape(len(maps), -1)
    low, high = flat.amin(1), flat.amax(1)
    shape = (-1, *[1] * (maps.dim() - 1))
    return (maps - low.view(shape)) / (high - low).clamp(min=1e-30).view(shape)


def _layer(network: nn.Module, images: Images, name: str | None) -> Layer:
    """The layer of a name, or the one that is shown by default."""
    layers = {layer.name: layer for layer in map_layers(network, images)}
    if name is None:
        name = last_map_layer(network, images)
    if name in layers:
        return layers[name]
    names = [known for known, _ in network.named_modules()]
    if name not in names:
        near = did_you_mean(name, names)
        guess = f"Did you mean {near!r}? " if near else ""
        raise ConfigError(
            f"This network has no layer {name!r}.", next=f"{guess}`budwood inspect` lists them."
        )
    such = f", such as {last_map_layer(network, images)}" if layers else ""
    raise ConfigError(
        f"The output of {name} cannot be shown as a map.",
        expected=f"A layer that runs once and has a value for each place of the photo{such}.",
    )


@contextmanager
def _held(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """The outputs of a layer, each as a tensor of its own that gradients are taken of."""
    held: list[Tensor] = []

    def hold(_: str, output: object) -> object:
        if not isinstance(output, Tensor):
            return output
        own = output.detach().clone().requires_grad_(output.is_floating_point())
        held.append(own)
        return own.clone()  # what follows may write to it

    with _hooked(network, [layer], hold):
        yield held


@contextmanager
def _hooked(
    network: nn.Module, names: Sequence[str], see: Callable[[str, Any], object]
) -> Iterator[None]:
    """Show the outputs of these modules to `see`; what it returns, if anything, replaces them."""
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda _, __, output, name=name: see(name, output))
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
