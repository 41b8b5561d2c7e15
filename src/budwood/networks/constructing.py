"""The bare structure of a network, as its library makes it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from budwood.networks.catalog import Architecture
from budwood.networks.sources import source_of


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


class NumbersOnCPU(TorchFunctionMode):
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


_RANDOM = {"normal_", "uniform_", "kaiming_uniform_"}
"""Tensor methods and functions of `nn.init` by which libraries draw weights."""
