"""The network that is asked for: by a request, a recipe, a name of the catalogue or a run."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from torch import nn

from budwood.course.recipes import is_recipe, load_recipe
from budwood.errors import ConfigError, WeightsError
from budwood.grafting.graft_recipes import GraftRecipe
from budwood.grafting.grafted import graft
from budwood.image_classifier import ImageClassifier
from budwood.inspection.dryrun import dry_run
from budwood.models.building import build
from budwood.models.catalog import find
from budwood.models.heads import head_names, num_outputs, replace_head
from budwood.models.info import info, preprocessing_of, set_info
from budwood.models.sources import source_of
from budwood.settings import Settings
from budwood.surgery.freezing import freeze, unfreeze

_CLASSES = {"flowers": 5, "catdog": 2}
"""How many classes the photos have that recipes are for."""


def prepared_network(
    request: Settings, classes: int | tuple[str, ...], device: Literal["cpu", "meta"] = "cpu"
) -> nn.Module:
    """The network that a request asks for: built or grafted, headed, frozen."""
    network = (
        _grafted(request, classes, device) if request.graft else _built(request, classes, device)
    )
    for action, pattern in request.surgery:
        (freeze if action == "freeze" else unfreeze)(network, pattern)
    return network


def _built(
    request: Settings, classes: int | tuple[str, ...], device: Literal["cpu", "meta"]
) -> nn.Module:
    network = build(
        request.model,
        weights=request.weights,
        classes=classes,
        head=request.head,
        aux_heads=request.aux_heads,
        seed=request.seed,
        device=device,
    )
    if request.size is not None:
        _resize(network, request.model, request.size)
    freeze(network, "*")
    return unfreeze(network, *head_names(network))


def _resize(network: nn.Module, name: str, size: int) -> None:
    usual = preprocessing_of(network)
    try:
        dry_run(network, (1, len(usual.mean), size, size))
    except ConfigError as problem:
        raise ConfigError(
            f"{name} cannot be run on photos of {size} x {size}. {problem.problem}",
            expected=f"It was made for {usual.size[0]} x {usual.size[1]}.",
            next="Leave --size out, or choose another one or another network.",
        ) from None
    set_info(network, preprocessing=usual.at_size(size))


def _grafted(
    request: Settings, classes: int | tuple[str, ...], device: Literal["cpu", "meta"]
) -> nn.Module:
    recipe = GraftRecipe.from_json(request.graft or {})
    input = recipe.input
    if request.size is not None:
        input = (input[0] if input else 3, request.size, request.size)
    network: nn.Module = graft(
        recipe.layers,
        input=input,
        classes=classes,
        adapt=recipe.adapt,
        weights=None if request.weights == "imagenet" else request.weights,
        seed=request.seed,
        device=device,
    )
    if request.head != "linear":
        replace_head(network, classes, request.head, request.seed)
    return network


def published_network(name: str) -> nn.Module:
    """A network of the catalogue with its published weights and the names of its own classes.

    All but its head is frozen, so that its trunk is that of a training with it.

    Raises:
        UnknownName: If there is none of that name.
        WeightsError: If no weights are published for it, or they cannot be had.
        ConfigError: If nothing tells what its classes are.
    """
    architecture = find(name)
    source = source_of(architecture)
    tags = source.tags(architecture.bare)
    hint = f"Train it on photos of your classes first: `budwood train PHOTOS --model {name}`."
    if not tags:
        raise WeightsError(
            f"{name} knows no classes yet: no weights are published for it.",
            next=f"{hint[:-2]} --weights none`.",
        )
    classes = source.classes(architecture.bare, tags[0])
    if not classes:
        raise ConfigError(
            f"Nothing tells what the classes of {name} ({tags[0]}) are: it gives features.",
            next=hint,
        )
    try:
        network = build(name)
    except WeightsError as error:
        if "--weights" in (error.next or ""):  # which predictions do not have
            error.next = "Try again when online; efficientnet_lite0 needs no download."
        raise
    origin = info(network).origin
    if origin is None or num_outputs(network) != len(classes):
        raise ConfigError(
            f"{name} has {num_outputs(network)} outputs, and {len(classes)} names are known.",
            next=hint,
        )
    set_info(network, origin=replace(origin, classes=classes))
    return unfreeze(freeze(network, "*"), *head_names(network))


def network_of_run(path: Path) -> nn.Module:
    """The network of a run, with its classes, weights and what was frozen."""
    return ImageClassifier.load(path).network


def network_to_inspect(what: Path | str) -> tuple[nn.Module, int]:
    """The network that a run, a recipe or a name of the catalogue stands for, and the photos in a
    batch of it.

    Of a name or a recipe only the structure is made (on the meta device): nothing is downloaded.
    """
    if is_recipe(what):
        recipe = load_recipe(what)
        request = recipe.request(Path())
        classes = recipe.graft.classes if recipe.graft else _CLASSES.get(recipe.data or "")
        network = prepared_network(request, classes or 2, device="meta")
        # Auxiliary heads are part of what trains, and run in train mode only.
        return network.train(request.aux_heads), request.batch_size or 1
    if isinstance(what, Path):
        return network_of_run(what), 1
    return build(what, weights="none", device="meta"), 1
