"""Copies of a module's structure that share all of its tensors."""

import copy
from functools import partial
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def twin(module: Module) -> Module:
    """A copy with modes and attributes of its own whose parameters and buffers are the module's.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> other = twin(layer).eval()
        >>> layer.training, other.weight is layer.weight
        (True, True)
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def hold_in_eval(module: nn.Module) -> None:
    """Put a module in eval mode, to stay there whatever its parents' `train()` says."""
    module.eval()
    for part in module.modules():
        # Unlike a bound method, a partial is copied and pickled together with its module.
        vars(part)["train"] = partial(_stay, part)


def release(module: nn.Module) -> None:
    """Let a module follow its parents' mode again."""
    for part in module.modules():
        vars(part).pop("train", None)


def is_held(module: nn.Module) -> bool:
    """True for a module that `hold_in_eval` was called on."""
    return "train" in vars(module)


def _stay(self: nn.Module, mode: bool = True) -> nn.Module:
    """Replaces `train` on a module that is held in eval mode."""
    return self
