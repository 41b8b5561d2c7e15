"""Networks by name: their structure, their weights and what belongs to both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from budwood.errors import ConfigError
from budwood.models.catalog import Architecture, find
from budwood.models.constructing import ZerosForRandom, choose, structure_tag
from budwood.models.constructing import structure as structure
from budwood.models.downloads import Progress
from budwood.models.heads import class_names, num_outputs, replace_head
from budwood.models.info import Origin, set_info
from budwood.models.loading import FileWeights
from budwood.models.sources import source_of, with_aux_heads
from budwood.settings import require_setting
from budwood.threads import TRACING, settle_torch


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

    It carries its origin, by which `rebuild` makes the same structure again, and the preprocessing
    that belongs to its weights; `info` reads them.

    Args:
        name: What `budwood models` lists; `timm/NAME` and `torchvision/NAME` always work.
        weights: `imagenet` for the default published weights (not always of ImageNet alone), the
            name of others (`IMAGENET1K_V1`, `a1_in1k`), `none` for random ones, or the path of a
            file of weights, of a capsule or of the folder of a run. A file is taken to follow the
            published weights whose file name it has, else the default ones; it may have any number
            of classes. What fits of it is loaded, and `info(network).receipt` tells the rest.
        classes: How many classes a new head is for, or their names; None keeps the head. A linear
            head takes over the rows of classes that a file knows by the same name.
        head: The new head, `linear` or `mlp:2048,1024`; see `replace_head`.
        aux_heads: Keep the auxiliary classifiers of GoogLeNet and Inception v3.
        seed: Seeds all random weights; the global random state is not touched.
        device: `meta` allocates no weights and downloads none: `weights` then only chooses the
            structure and the preprocessing (of a file, its shapes are compared).
        on_progress: Called with the bytes downloaded so far and, where known, in all.

    Raises:
        UnknownName: If no architecture is called so.
        WeightsError: If the weights do not exist, cannot be had or do not fit; of a file, if it
            holds less than half of the network, or is that of another one.
        ConfigError: If an option is impossible for this architecture.

    Example:
        >>> from budwood import info
        >>> network = build("resnet18", weights="none", classes=["cat", "dog"], device="meta")
        >>> network.fc, info(network).preprocessing.size
        (Linear(in_features=512, out_features=2, bias=True), (224, 224))
    """
    architecture = find(name)
    _check_options(architecture, classes, head, aux_heads)
    choice = choose(architecture, weights)
    source, bare, tag = source_of(architecture), architecture.bare, choice.tag
    usual = source.preprocessing(bare, tag)
    published = choice.published if device == "cpu" else None
    file = source.file(bare, published, on_progress) if published else choice.file
    settle_torch()
    with TRACING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = source.pretrained(bare, published, file) if published and file else None
        given = None
        if network is None and file is not None:
            given = FileWeights(
                architecture,
                tag,
                file,
                aux_heads=aux_heads,
                has_new_heads=classes is not None,
                is_published=published is not None,
            )
            network = given.network(device)
        if network is None:
            network = structure(architecture, tag, aux_heads=aux_heads, device=device)
    origin = Origin(
        architecture=architecture.qualified,
        weights=choice.label,
        num_classes=num_outputs(network),
        aux_heads=aux_heads,
    )
    preprocessing = (given and given.preprocessing) or usual
    set_info(network.eval(), origin=origin, preprocessing=preprocessing)
    if classes is not None:
        replace_head(network, classes, head, seed)
    if given is not None:
        given.load_into(network)
    return network


def rebuild(origin: Origin) -> nn.Module:
    """The structure that a network had, in eval mode, with zeros for what would be random."""
    architecture = find(origin.architecture)
    source = source_of(architecture)
    tag = structure_tag(architecture, origin.weights)
    count = origin.num_classes if origin.head is None else None
    settle_torch()
    with TRACING, ZerosForRandom():
        network = structure(architecture, tag, classes=count, aux_heads=origin.aux_heads)
    preprocessing = source.preprocessing(architecture.bare, tag)
    set_info(network.eval(), origin=origin, preprocessing=preprocessing)
    if origin.head is not None:
        replace_head(network, origin.classes or origin.num_classes, origin.head)
    return network


def _check_options(
    architecture: Architecture, classes: int | Sequence[str] | None, head: str, aux_heads: bool
) -> None:
    require_setting("head", head)
    if classes is not None:
        class_names(classes)
    elif head != "linear":
        raise ConfigError(
            f"The head {head!r} is for no classes.", next="Pass `classes` too, or no `head`."
        )
    if aux_heads and not source_of(architecture).aux_heads(architecture.bare):
        raise ConfigError(
            f"{architecture.name} has no auxiliary heads.",
            expected=f"Those that have them are {', '.join(with_aux_heads())}.",
        )
