"""Networks by name: their structure, their weights and what belongs to both."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from budwood.errors import ConfigError
from budwood.images.preprocessing import Preprocessing
from budwood.networks import classics_source, timm_source, torchvision_source
from budwood.networks.catalog import Architecture, find
from budwood.networks.checkpoints import (
    State,
    compare_state,
    load_state,
    read_state,
    with_counters,
)
from budwood.networks.choosing import SOURCES, Choice, choose, structure_tag
from budwood.networks.downloading import Progress
from budwood.networks.heads import (
    class_names,
    head_names,
    hidden_widths,
    num_outputs,
    replace_head,
)
from budwood.networks.origins import Origin as Origin


def build(
    name: str,
    *,
    weights: str | Path = "imagenet",
    classes: int | Sequence[str] | None = None,
    head: str = "linear",
    aux_heads: bool = False,
    seed: int = 0,
    device: Literal["cpu", "meta"] = "cpu",
    on_progress: Progress | None = None,
) -> nn.Module:
    """The network of that name with its weights: the library's own module, in eval mode.

    It carries `origin`, by which `rebuild` makes the same structure again, and `preprocessing`,
    which belongs to its weights.

    Args:
        name: What `budwood models` lists; `timm/NAME` and `torchvision/NAME` always work.
        weights: `imagenet` for the default published weights (not always of ImageNet alone), the
            name of others (`IMAGENET1K_V1`, `a1_in1k`), `none` for random ones, or the path of a
            file. A file is taken to follow the published weights whose file name it has, else
            the default ones; it may have any number of classes.
        classes: How many classes a new head is for, or their names; None keeps the head.
        head: The new head, `linear` or `mlp:2048,1024`; see `replace_head`.
        aux_heads: Keep the auxiliary classifiers of GoogLeNet and Inception v3.
        seed: Seeds all random weights; the global random state is not touched.
        device: `meta` allocates no weights and downloads none: `weights` then only chooses the
            structure and the preprocessing (of a file, its shapes are compared).
        on_progress: Called with the bytes downloaded so far and, where known, in all.

    Raises:
        UnknownName: If no architecture is called so.
        WeightsError: If the weights do not exist, cannot be had or do not fit.
        ConfigError: If an option is impossible for this architecture.

    Example:
        >>> network = build("resnet18", weights="none", classes=["cat", "dog"], device="meta")
        >>> network.fc, network.preprocessing.size
        (Linear(in_features=512, out_features=2, bias=True), (224, 224))
    """
    architecture = find(name)
    _check_options(architecture, classes, head, aux_heads)
    choice = choose(architecture, weights)
    source = SOURCES[architecture.source]
    preprocessing = source.preprocessing(architecture.bare, choice.tag)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _network(architecture, choice, aux_heads, device, on_progress)
    origin = Origin(
        architecture=architecture.qualified,
        weights=choice.label,
        num_classes=num_outputs(network),
        aux_heads=aux_heads,
    )
    _attach(network.eval(), origin, preprocessing)
    return network if classes is None else replace_head(network, classes, head, seed)


def rebuild(origin: Origin) -> nn.Module:
    """The structure that a network had, in eval mode, to load its saved state into.

    Its weights are zeros where they are random in a new network, which takes far less time.

    Raises:
        UnknownName: If the architecture is not known any more.
        WeightsError: If the weights it was made for are not published any more.
    """
    architecture = find(origin.architecture)
    source = SOURCES[architecture.source]
    tag = structure_tag(architecture, origin.weights)
    count = origin.num_classes if origin.head is None else None
    with _ZerosForRandom():
        network = structure(architecture, tag, classes=count, aux_heads=origin.aux_heads)
    _attach(network.eval(), origin, source.preprocessing(architecture.bare, tag))
    if origin.head is not None:
        replace_head(network, origin.classes or origin.num_classes, origin.head)
    return network


def structure(
    architecture: Architecture,
    tag: str | None = None,
    *,
    classes: int | None = None,
    aux_heads: bool = False,
    device: Literal["cpu", "meta"] = "cpu",
) -> nn.Module:
    """The bare network as its library makes it, with random weights, in train mode.

    Args:
        tag: The published weights that it is to fit; None for the default ones.
        classes: How many classes its own head is for; None for as many as those weights have.
    """
    source = SOURCES[architecture.source]
    computes_widths = architecture.qualified.startswith("torchvision/regnet_")
    with torch.device(device), _NumbersOnCPU() if computes_widths else nullcontext():
        return source.construct(architecture.bare, tag, classes, aux_heads)


def origin_of(network: nn.Module) -> Origin | None:
    """Where a network came from; None if it was not built here."""
    origin = getattr(network, "origin", None)
    return origin if isinstance(origin, Origin) else None


def preprocessing_of(network: nn.Module) -> Preprocessing:
    """The preprocessing that belongs to the weights of a network.

    Raises:
        ConfigError: If the network carries none, because it was made elsewhere.
    """
    preprocessing = getattr(network, "preprocessing", None)
    if isinstance(preprocessing, Preprocessing):
        return preprocessing
    raise ConfigError(
        f"This {type(network).__name__} does not say how photos are prepared for it.",
        next="Make it with budwood.build(), or set `network.preprocessing` to the "
        "budwood.Preprocessing that its weights were trained with.",
    )


def _check_options(
    architecture: Architecture, classes: int | Sequence[str] | None, head: str, aux_heads: bool
) -> None:
    hidden_widths(head)
    if classes is not None:
        class_names(classes)
    elif head != "linear":
        raise ConfigError(
            f"The head {head!r} is for no classes.", next="Pass `classes` too, or no `head`."
        )
    if aux_heads and architecture.qualified not in _WITH_AUX_HEADS:
        raise ConfigError(
            f"{architecture.name} has no auxiliary heads.",
            expected=f"Those that have them are {', '.join(_WITH_AUX_HEADS)}.",
        )


def _network(
    architecture: Architecture,
    choice: Choice,
    aux_heads: bool,
    device: Literal["cpu", "meta"],
    on_progress: Progress | None,
) -> nn.Module:
    source, name = SOURCES[architecture.source], architecture.bare
    if choice.file is not None:
        return _from_file(architecture, choice.tag, choice.file, aux_heads, device)
    if (tag := choice.published) is None or device == "meta":
        return structure(architecture, choice.tag, aux_heads=aux_heads, device=device)
    file = source.file(name, tag, on_progress)
    if architecture.source == "timm":
        return timm_source.pretrained(name, tag, file)
    return _from_file(architecture, tag, file, aux_heads, device)


def _from_file(
    architecture: Architecture,
    tag: str | None,
    file: Path,
    aux_heads: bool,
    device: Literal["cpu", "meta"],
) -> nn.Module:
    """The network with the weights of a file, and as many classes as the file's head has."""
    source, name = SOURCES[architecture.source], architecture.bare
    skeleton = structure(architecture, tag, aux_heads=aux_heads, device="meta")
    state = with_counters(skeleton, read_state(file))
    state = _fitting(skeleton, source.layouts(name, skeleton, state, aux_heads))
    count = _other_count(skeleton, state)
    with _ZerosForRandom():
        network = structure(architecture, tag, classes=count, aux_heads=aux_heads, device=device)
    load_state(network, state, file=file)
    return network


def _fitting(skeleton: nn.Module, layouts: Iterator[State]) -> State:
    """The first layout that fits but for the heads' sizes; if none does, the first."""
    heads = tuple(f"{path}." for path in head_names(skeleton)) if num_outputs(skeleton) else ()
    first: State | None = None
    for layout in layouts:
        comparison = compare_state(skeleton, layout)
        sizes_fit = all(name.startswith(heads) for name in comparison.reshaped)
        if sizes_fit and not (comparison.missing or comparison.unexpected):
            return layout
        first = layout if first is None else first
    return first or {}


def _other_count(skeleton: nn.Module, state: State) -> int | None:
    """How many classes the head in a file has, if not as many as the skeleton's."""
    if not num_outputs(skeleton):
        return None
    weight = state.get(f"{head_names(skeleton)[0]}.weight")
    return None if weight is None or len(weight) == num_outputs(skeleton) else len(weight)


def _attach(network: nn.Module, origin: Origin, preprocessing: Preprocessing) -> None:
    # Plain attributes: they follow the module into copies, and are in no state dict.
    network.origin = origin  # type: ignore[assignment]
    network.preprocessing = preprocessing  # type: ignore[assignment]


class _ZerosForRandom(TorchFunctionMode):
    """Random numbers in place become zeros: for weights that a file is about to replace."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in _RANDOM:
            return func(*args, **kwargs)
        tensor: Tensor = args[0] if args else kwargs["tensor"]
        tensor.detach().zero_()
        return tensor


class _NumbersOnCPU(TorchFunctionMode):
    """Keeps small tensors of numbers off the meta device: RegNet computes its widths by them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.arange, torch.tensor):
            kwargs = {"device": "cpu"} | kwargs
        return func(*args, **kwargs)


_WITH_AUX_HEADS = (
    *(f"torchvision/{name}" for name in torchvision_source.AUX_HEADS),
    *(f"budwood/{name}" for name in classics_source.AUX_HEADS),
)

_RANDOM = {"normal_", "uniform_", "kaiming_uniform_"}
"""Tensor methods and functions of `nn.init` by which libraries draw weights."""
