"""Grafting: a new network from new layers and from layers of pretrained ones, in order.

All of it is planned on shapes before a weight is loaded: what each layer takes and gives, and
where an adapter has to stand between two that do not fit. The result is an ordinary module whose
layers keep the names that they had: `resnet18.layer1.0.conv1`; one that comes alone stands at the
top, so that the layers are listed in their order: `vgg16_features_28`.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import fx, nn

from budwood.errors import ConfigError
from budwood.grafting.donors import Piece
from budwood.grafting.graft_plans import IMAGENET, GraftPlan, GraftStep, Layer, planned
from budwood.grafting.graft_recipes import DonorLayers, GraftRecipe, Part
from budwood.grafting.new_layers import NewLayer, described
from budwood.images.preprocessing import Preprocessing
from budwood.models.downloads import Progress
from budwood.models.heads import class_names, replace_head
from budwood.models.info import Origin, set_info
from budwood.surgery.freezing import freeze
from budwood.surgery.tracing import at_path
from budwood.threads import TRACING


class Grafted(fx.GraphModule):
    """A network that was put together from layers; an ordinary module."""


def graft(
    layers: Sequence[Layer],
    *,
    input: tuple[int, int, int] | None = None,
    classes: int | Sequence[str] | None = None,
    adapt: bool = False,
    weights: str | Path | None = None,
    seed: int = 0,
    device: Literal["cpu", "meta"] = "cpu",
    on_progress: Progress | None = None,
) -> Grafted:
    """A network of these layers, one after the other, in eval mode.

    What a donor does between its layers is kept, also where it is no layer (see `take`). A network
    whose piece is taken stays as it is: its layers are copied.

    Args:
        layers: `"vgg16.features.0"` or `"resnet18.conv1..layer2"` for layers of a pretrained
            network, frozen (`DonorLayers` can say otherwise); pieces of a network you have
            (`take`), frozen as they are there; new layers, as `NewLayer` or as a module.
        input: Channels, height and width of a photo; by default those of the first donor.
        classes: How many, or their names; what "classes" as a number of outputs stands for.
        adapt: Put a new 1x1 convolution or a resize where two layers do not fit; the notes of the
            graft's `info` tell.
        weights: Instead of the donors' own: `none`, or a name or a file for the only donor.
        seed: Seeds all random weights; the global random state is not touched.
        device: `meta` allocates no weights and downloads none.
        on_progress: Called with the bytes downloaded so far and, where known, in all.

    Raises:
        UnknownName: If there is no such network or layer; the nearest is named.
        CutError: If layers do not fit (both are named with their shapes), a range is in the wrong
            order, or the network does not end in one number a class.
        ConfigError: If an option is impossible.
        WeightsError: If a donor's weights cannot be had.

    Example:
        >>> layers = [nn.Conv2d(1, 3, 3), "vgg16.features.0", nn.Flatten(), nn.Linear(4096, 2)]
        >>> net = graft(layers, input=(1, 10, 10), weights="none", device="meta")
        >>> [name for name, parameter in net.named_parameters() if parameter.requires_grad]
        ['conv1.weight', 'conv1.bias', 'linear1.weight', 'linear1.bias']
    """
    names = None if classes is None else class_names(classes)
    count = classes if isinstance(classes, int) else len(names) if names else None
    with TRACING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        plan = planned(layers, input, count, adapt, weights, seed)
        network = _assembled(plan, count, device, on_progress).to(device).eval()
    preprocessing = _preprocessing(plan)
    set_info(
        network,
        origin=_origin(plan, names, adapt),
        preprocessing=preprocessing,
        notes=(*plan.notes, *_normalisation_notes(preprocessing, plan.steps)),
    )
    return network


def regraft(origin: Origin) -> nn.Module:
    """The structure that a graft had, in eval mode, to load its saved state into."""
    if origin.graft is None:
        raise ConfigError(f"{origin.architecture} is no graft.")
    recipe = GraftRecipe.from_json(origin.graft)
    network = graft(recipe.layers, input=recipe.input, classes=recipe.classes, adapt=recipe.adapt)
    set_info(network, origin=origin)
    if origin.head is not None:
        replace_head(network, origin.classes or origin.num_classes, origin.head)
    return network


def _assembled(
    plan: GraftPlan,
    classes: int | None,
    device: Literal["cpu", "meta"],
    on_progress: Progress | None,
) -> Grafted:
    root, graph, frozen = nn.Module(), fx.Graph(), list[str]()
    value = graph.placeholder("x")
    placed: set[int] = set()
    for step in plan.steps:
        if step.donor is None:
            layer = step.layer
            module = layer.made(step.entering, classes) if isinstance(layer, NewLayer) else layer
            root.add_module(step.path, module)
            value = graph.call_module(step.path, (value,))
            frozen += [step.path] if isinstance(layer, NewLayer) and layer.frozen else []
            continue
        piece = step.donor.piece(device, on_progress)
        value = piece.copy_into(graph, value, step.names)
        copies = _copies(piece, placed if step.donor.is_ours else None)
        for path, thing in copies.items():
            _put(root, step.names[path], thing)
        if step.donor.is_frozen:
            frozen += [
                step.names[path]
                for path, thing in copies.items()
                if isinstance(thing, nn.Module | nn.Parameter)
            ]
    graph.output(value)
    network = Grafted(root, graph, class_name="Graft")
    return cast(Grafted, freeze(network, *frozen)) if frozen else network


def _copies(piece: Piece, placed: set[int] | None) -> dict[str, Any]:
    """The layers and tensors of a piece by path; copied, but for those of a donor of our own whose
    tensors (`placed`, by id) are nowhere in the graft yet."""
    found: dict[str, Any] = {}
    memo: dict[int, Any] = {}
    for path in piece.paths:
        thing = at_path(piece.root, path)
        held = {id(tensor) for tensor in _tensors(thing)}
        is_free = placed is not None and placed.isdisjoint(held)
        found[path] = thing if is_free else copy.deepcopy(thing, memo)
        if placed is not None:
            placed |= held
    return found


def _tensors(thing: Any) -> list[torch.Tensor]:
    return [*thing.parameters(), *thing.buffers()] if isinstance(thing, nn.Module) else [thing]


def _put(root: nn.Module, path: str, thing: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = cast(nn.Module, getattr(root, parent))
    if isinstance(thing, torch.Tensor) and not isinstance(thing, nn.Parameter):
        root.register_buffer(name, thing)
    else:
        setattr(root, name, thing)


def _origin(plan: GraftPlan, names: tuple[str, ...] | None, adapt: bool) -> Origin | None:
    """How to make the graft again; None if a part of it cannot be described."""
    parts = [_recorded(step) for step in plan.steps if not step.is_adapter]
    answers = plan.steps[-1].gives
    if None in parts or len(answers) != 1:
        return None
    recipe = GraftRecipe(
        layers=tuple(part for part in parts if part is not None),
        input=plan.image,
        adapt=adapt,
        classes=answers[0],
    )
    return Origin(
        architecture="graft",
        weights=_weights(recipe.layers),
        num_classes=answers[0],
        classes=names,
        graft=recipe.to_json(),
    )


def _recorded(step: GraftStep) -> Part | None:
    if step.donor is not None:
        return step.donor.recorded()
    if isinstance(step.layer, NewLayer):
        return step.layer
    return None if step.layer is None else described(step.layer)


def _weights(parts: Sequence[Part]) -> str:
    """Where the donors' weights are from: one word if they agree."""
    origins = {
        part.origin.architecture: part.origin.weights
        for part in parts
        if isinstance(part, DonorLayers) and part.origin is not None
    }
    if len(set(origins.values())) <= 1:
        return next(iter(origins.values()), "new")
    return ", ".join(f"{name} {weights}" for name, weights in origins.items())


def _preprocessing(plan: GraftPlan) -> Preprocessing:
    """As for the donor whose layers see the photo; if none does, for the donor that comes first.

    Grey photos for a donor that was trained on colour get the average of its three channels.
    """
    channels, height, width = plan.image
    known = (step.donor.preprocessing for step in plan.steps if step.donor)
    chosen = next(filter(None, known), IMAGENET)
    if chosen.size != (height, width):
        scaled = chosen.at_size(max(height, width))
        exact = isinstance(scaled.resize, tuple) or height != width
        chosen = replace(
            scaled, size=(height, width), resize=(height, width) if exact else scaled.resize
        )
    if len(chosen.mean) == channels or channels not in (1, 3):
        return chosen
    mean, std = (_spread(values, channels) for values in (chosen.mean, chosen.std))
    return replace(chosen, mean=mean, std=std)


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return (round(sum(values) / len(values), 4),) * channels


def _normalisation_notes(image: Preprocessing, steps: Sequence[GraftStep]) -> Iterator[str]:
    """A line for each donor whose normalisation plays no part in the graft, or contradicts it."""
    for step in steps:
        donor = step.donor
        theirs = donor.preprocessing if donor is not None else None
        if donor is None or theirs is None:
            continue
        if donor.hollow.begins_with_the_image and step is not steps[0]:
            yield (
                f"{donor.name} was trained on photos ({_constants(theirs)}); here {step.fed_by} "
                "feeds it, so that normalisation plays no part."
            )
        elif (theirs.mean, theirs.std) != (image.mean, image.std) and len(theirs.mean) == len(
            image.mean
        ):
            yield (
                f"{donor.name} was trained on photos with {_constants(theirs)}; this graft's "
                f"photos have {_constants(image)}, for the donor that comes first."
            )


def _constants(preprocessing: Preprocessing) -> str:
    mean, std = (
        " ".join(f"{value:g}" for value in values)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return f"mean {mean}, std {std}"
