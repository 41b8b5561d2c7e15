"""Where in a photo a network looked when it named a class, and what its layers see.

The map of a layer says, for each place, how much raising the features there would raise the class's
logit. Gradients are taken with respect to the layer's output, never to weights: so it makes no
difference what is frozen, where the network was put together, or whether it has auxiliary heads.

Reference: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from budwood.errors import ConfigError
from budwood.judging.map_layers import Layer, last_map_layer, map_layers
from budwood.tensors import Images
from budwood.text import did_you_mean


def where_it_looked(
    network: nn.Module,
    images: Images,
    layer: str | None = None,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """For each photo, where raising the layer's features raises the class's logit.

    Args:
        network: Any classifier; it is put into eval mode and is not changed.
        images: `n c h w`, normalised.
        layer: A layer whose output is a map; default: the last whose map decides.
        classes: One for each photo; default: the one that the network names.

    Returns:
        Maps `n h w` of the size of the images, 0 to 1; all 0 where nothing speaks for the class.

    Raises:
        ConfigError: If there is no such layer, or its output is no map.
    """
    shown = _layer(network, images, layer)
    # A caller's inference mode would leave nothing to take gradients of.
    with _held(network, shown.name) as held, torch.inference_mode(False), torch.enable_grad():
        output = network.eval()(images.clone())
        logits = output if isinstance(output, Tensor) else output[0]
        chosen = logits.argmax(1) if classes is None else torch.tensor(list(classes))
        asked = logits.gather(1, chosen[:, None]).sum()
        (slope,) = torch.autograd.grad(asked, held[0], materialize_grads=True)
    slope, features = shown.grid.as_map(slope), shown.grid.as_map(held[0].detach())
    weights = slope.mean((2, 3), keepdim=True)
    maps = (weights * features).sum(1, keepdim=True).clamp(min=0)
    maps = interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    highest = maps.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest.clamp(min=1e-30), 0.0)


def feature_maps(network: nn.Module, image: Images, layer: str) -> Tensor:
    """What a layer makes of one photo `1 c h w`: its maps `c h w`, each from 0 to 1.

    Raises:
        ConfigError: If there is no such layer, or its output is no map.
    """
    shown = _layer(network, image, layer)
    with _held(network, layer) as held, torch.no_grad():
        network.eval()(image[:1])
    return _stretched(shown.grid.as_map(held[0].detach())[0])


def first_filters(network: nn.Module) -> Tensor:
    """The filters of the first convolution that sees the photo, `n 3 h w`, each from 0 to 1.

    Raises:
        ConfigError: If the network has no convolution of colours or greys.
    """
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

    def hold(_: nn.Module, __: object, output: object) -> object:
        if not isinstance(output, Tensor):
            return output
        own = output.detach().clone().requires_grad_(output.is_floating_point())
        held.append(own)
        return own.clone()  # what follows may write to it

    handle = network.get_submodule(layer).register_forward_hook(hold)
    try:
        yield held
    finally:
        handle.remove()
