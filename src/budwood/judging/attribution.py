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
from budwood.tensors import Images


def last_map_layer(network: nn.Module, images: Images) -> str:
    """The name of the last layer or block whose output is a map `n c h w` of more than one place.

    What runs more than once, as an activation that is shared, is passed over.

    Raises:
        ConfigError: If there is none.
    """
    found: list[str] = []
    handles = [
        module.register_forward_hook(_noted(found, name))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.inference_mode():
            network.eval()(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    once = [name for name in found if found.count(name) == 1]
    if not once:
        raise ConfigError("No layer of this network gives a map that could be shown.")
    return once[-1]


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
        layer: A layer whose output is a map `n c h w`; default: the last such.
        classes: One for each photo; default: the one that the network names.

    Returns:
        Maps `n h w` of the size of the images, 0 to 1; all 0 where nothing speaks for the class.

    Raises:
        ConfigError: If there is no such layer, or its output is no map.
    """
    layer = last_map_layer(network, images) if layer is None else layer
    # A caller's inference mode would leave nothing to take gradients of.
    with _held(network, layer) as held, torch.inference_mode(False), torch.enable_grad():
        output = network.eval()(images.clone())
        logits = output if isinstance(output, Tensor) else output[0]
        if len(held) != 1 or held[0].dim() != 4:
            raise ConfigError(
                f"The output of {layer} cannot be shown as a map.",
                expected="A layer that runs once and gives n c h w, such as "
                f"{last_map_layer(network, images)}.",
            )
        chosen = logits.argmax(1) if classes is None else torch.tensor(list(classes))
        (slope,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), held[0])
    weights = slope.mean((2, 3), keepdim=True)
    maps = (weights * held[0].detach()).sum(1, keepdim=True).clamp(min=0)
    maps = interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    highest = maps.amax((1, 2), keepdim=True)
    return torch.where(highest > 0, maps / highest.clamp(min=1e-30), 0.0)


def feature_maps(network: nn.Module, image: Images, layer: str) -> Tensor:
    """What a layer makes of one photo `1 c h w`: its maps `c h w`, each from 0 to 1.

    Raises:
        ConfigError: If there is no such layer, or its output is no map.
    """
    with _held(network, layer) as held, torch.no_grad():
        network.eval()(image[:1])
    if len(held) != 1 or held[0].dim() != 4:
        raise ConfigError(f"The output of {layer} cannot be shown as maps.")
    return _stretched(held[0].detach()[0])


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


@contextmanager
def _held(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """The outputs of a layer, each as a tensor of its own that gradients are taken of."""
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        raise ConfigError(
            f"This network has no layer {layer!r}.", next="`budwood inspect` lists them."
        ) from None
    held: list[Tensor] = []

    def hold(_: nn.Module, __: object, output: object) -> object:
        if not isinstance(output, Tensor):
            return output
        own = output.detach().clone().requires_grad_(output.is_floating_point())
        held.append(own)
        return own.clone()  # what follows may write to it

    handle = module.register_forward_hook(hold)
    try:
        yield held
    finally:
        handle.remove()


def _noted(found: list[str], name: str) -> object:
    def note(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[-2:]) > 1:
            found.append(name)

    return note
