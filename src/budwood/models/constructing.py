"""The bare structure of a network, and what `weights=` means for it: published, a file, or none."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from budwood.errors import WeightsError
from budwood.models.catalog import Architecture
from budwood.models.sources import source_of
from budwood.text import did_you_mean


def structure(
    architecture: Architecture,
    tag: str | None = None,
    *,
    classes: int | None = None,
    aux_heads: bool = False,
    device: Literal["cpu", "meta"] = "cpu",
) -> nn.Module:
    """The bare network as its library makes it, with random weights, in train mode."""
    # Drawing weights that are not there would import half of torch.compile.
    draws = ZerosForRandom() if device == "meta" else nullcontext()
    with torch.device(device), draws:
        return source_of(architecture).construct(architecture.bare, tag, classes, aux_heads)


class ZerosForRandom(TorchFunctionMode):
    """Random numbers in place become zeros: for weights that a file is about to replace."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in _RANDOM:
            return func(*args, **(kwargs or {}))
        tensor: Tensor = args[0] if args else kwargs["tensor"]
        tensor.detach().zero_()
        return tensor


class NumbersOnCPU(TorchFunctionMode):
    """Keeps small tensors of numbers off the meta device: RegNet computes its widths by them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.arange, torch.tensor):
            kwargs = {"device": "cpu"} | (kwargs or {})
        return func(*args, **(kwargs or {}))


_RANDOM = {"normal_", "uniform_", "kaiming_uniform_"}
"""Tensor methods and functions of `nn.init` by which libraries draw weights."""

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
_FILE = "file:"


@dataclass(frozen=True)
class ChosenWeights:
    """Weights that were chosen."""

    label: str
    """As `Origin.weights` records it."""
    tag: str | None
    """The published weights whose structure and preprocessing apply; None for the default ones."""
    file: Path | None = None
    """Where they are, if a path was given."""

    @property
    def published(self) -> str | None:
        """The tag, if the published weights themselves were chosen."""
        return self.tag if self.label == self.tag else None


def choose(architecture: Architecture, weights: str | Path) -> ChosenWeights:
    """What `weights` stands for: `imagenet`, `none`, the name of published weights, or a path."""
    tags = source_of(architecture).tags(architecture.bare)
    if weights == "none":
        return ChosenWeights("none", None)
    if weights == "imagenet" and tags:
        return ChosenWeights(tags[0], tags[0])
    if weights in tags:
        return ChosenWeights(str(weights), str(weights))
    if is_path(weights):
        label = f"{_FILE}{Path(weights).absolute().name}"
        return ChosenWeights(label, structure_tag(architecture, label), Path(weights))
    if not tags:
        raise WeightsError(
            f"No weights are published for {architecture.name}"
            f"{'' if weights == 'imagenet' else f', so none are called {weights!r}'}.",
            next="Go on with random ones, --weights none, or with a file, --weights PATH.",
        )
    raise _unknown(architecture, str(weights), tags)


def is_path(weights: str | Path) -> bool:
    """True for the path of a file of weights or of a run, false for the name of weights."""
    return (
        isinstance(weights, Path)
        or weights.endswith(_SUFFIXES)
        or "/" in weights
        or "\\" in weights
        or (weights != "" and Path(weights).exists())
    )


def structure_tag(architecture: Architecture, label: str) -> str | None:
    """The published weights that decide on the structure behind an `Origin.weights`;
    a file decides by its name, where a library publishes one of that name."""
    source, name = source_of(architecture), architecture.bare
    if label.startswith(_FILE):
        return source.tag_of_file(name, label.removeprefix(_FILE))
    if label == "none":
        return None
    if label not in (tags := source.tags(name)):
        raise _unknown(architecture, label, tags)
    return label


def _unknown(architecture: Architecture, weights: str, tags: tuple[str, ...]) -> WeightsError:
    by_case = {tag.lower(): tag for tag in tags}
    near = did_you_mean(weights.lower(), by_case)
    guess = f" Did you mean {by_case[near]!r}?" if near else ""
    return WeightsError(
        f"No weights of {architecture.name} are called {weights!r}.{guess}",
        expected=f"There are {', '.join(tags)}; and imagenet, none, or the path of a file.",
    )
