"""Frozen means frozen: no gradient, and normalisation that keeps its statistics in train mode.

Two marks make a layer frozen: its parameters do not require a gradient, and a normalisation
layer with running statistics stays in eval mode whatever `network.train()` says (complaint:
github.com/pytorch/pytorch/issues/86590). Stochastic layers are not marked here: the cut decides
which of them lie inside the frozen part (`cutting.py`).
"""

import copy
from fnmatch import fnmatchcase
from functools import partial
from typing import TypeVar

from torch import nn

from budwood.errors import PatternError
from budwood.surgery.torch_internals import NormBase
from budwood.text import did_you_mean


def select(network: nn.Module, pattern: str) -> tuple[str, ...]:
    """The paths of the modules and parameters that `pattern` matches, in the network's order.

    A glob over whole paths: `*` crosses dots, so `layer4*` takes everything in and under
    `layer4`, and `*.bn?` every `bn1`, `bn2`, ... at any depth. A module stands for all that is
    inside it. Parameters that hang on no layer of their own (`cls_token`) are found by name.

    Raises:
        PatternError: If nothing matches: a typing error must not freeze nothing in silence.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> select(net, "1*")
        ('1', '1.weight', '1.bias')
    """
    paths = _paths(network)
    matches = tuple(path for path in paths if fnmatchcase(path, pattern))
    if not matches:
        tops = [name for name, _ in network.named_children()]
        guess = _nearest(pattern, paths)
        raise PatternError(
            f"{pattern!r} matches none of {len(paths)} layers and parameters.",
            expected=f"Top-level names are {', '.join(tops) or 'none'}.",
            next=f"Did you mean {guess!r}?" if guess else "`budwood inspect` shows every name.",
        )
    return matches


def selected_parameters(network: nn.Module, pattern: str) -> dict[str, nn.Parameter]:
    """The parameters that are matched by `pattern` or lie inside a module that is."""
    chosen = set(select(network, pattern))
    named = network.named_parameters(remove_duplicate=False)
    return {name: p for name, p in named if _is_inside(name, chosen)}


def selected_modules(network: nn.Module, pattern: str) -> dict[str, nn.Module]:
    """The modules that are matched by `pattern` or lie inside a module that is."""
    chosen = set(select(network, pattern))
    named = network.named_modules(remove_duplicate=False)
    return {name: m for name, m in named if name and _is_inside(name, chosen)}


def _paths(network: nn.Module) -> tuple[str, ...]:
    """Every name, those of shared layers included: each of them must be found."""
    modules = [name for name, _ in network.named_modules(remove_duplicate=False) if name]
    parameters = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    return (*modules, *parameters)


def _is_inside(path: str, chosen: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:end]) in chosen for end in range(1, len(parts) + 1))


def _nearest(pattern: str, paths: tuple[str, ...]) -> str | None:
    """The existing path that resembles the pattern most, with the pattern's own ending."""
    ending = ".*" if pattern.endswith(".*") else "*" if pattern.endswith("*") else ""
    stem = pattern.removesuffix(ending)
    near = did_you_mean(stem, paths, 0.5)
    return near + ending if near else None


Module = TypeVar("Module", bound=nn.Module)


def twin(module: Module) -> Module:
    """A copy with modes and attributes of its own whose parameters and buffers are the module's."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def hold_in_eval(module: nn.Module) -> None:
    """Put a module in eval mode, to stay there whatever its parents' `train()` says."""
    module.eval()
    for part in module.modules():
        # Unlike a bound method, a partial is copied and pickled together with its module.
        vars(part)["train"] = partial(_stay, part)


def release(module: nn.Module) -> None:
    """Let the modules of a network change their mode again."""
    for part in module.modules():
        vars(part).pop("train", None)


def is_held(module: nn.Module) -> bool:
    """True if a module keeps its mode whatever `train` asks for."""
    return "train" in vars(module)


def _stay(self: nn.Module, mode: bool = True) -> nn.Module:
    """Replaces `train` on a module that is held in eval mode."""
    return self


def freeze(network: nn.Module, *patterns: str) -> nn.Module:
    """The same network, with every layer that a pattern matches frozen.

    A batch normalisation whose parameters are all frozen keeps its statistics from then on, also
    after `network.train()`. Everything is checked before anything is changed.

    Args:
        network: Edited in place and returned.
        patterns: Globs over layer names (see `select`); `"*"` freezes all.

    Raises:
        PatternError: If a pattern matches nothing; the network is as it was.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> [layer.training for layer in freeze(net, "1").train()]
        [True, False]
    """
    return _mark(network, patterns, trainable=False)


def unfreeze(network: nn.Module, *patterns: str) -> nn.Module:
    """The same network, with every layer that a pattern matches trainable again.

    A batch normalisation with any trainable parameter updates its statistics in train mode.

    Args:
        network: Edited in place and returned.
        patterns: Globs over layer names (see `select`).

    Raises:
        PatternError: If a pattern matches nothing; the network is as it was.

    Example:
        >>> net = freeze(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), "*")
        >>> [name for name, p in unfreeze(net, "1").named_parameters() if p.requires_grad]
        ['1.weight', '1.bias']
    """
    return _mark(network, patterns, trainable=True)


def keeps_statistics(module: nn.Module) -> bool:
    """True for a normalisation layer that `freeze` holds in eval mode."""
    return isinstance(module, NormBase) and is_held(module)


def trainable_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module, its children included, that take a gradient."""
    return [p for p in module.parameters() if p.requires_grad]


def _mark(network: nn.Module, patterns: tuple[str, ...], *, trainable: bool) -> nn.Module:
    found = [(selected_parameters(network, p), selected_modules(network, p)) for p in patterns]
    for parameters, modules in found:
        for parameter in parameters.values():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(trainable)
        touched = modules.keys() | {name.rpartition(".")[0] for name in parameters}
        for name, module in network.named_modules(remove_duplicate=False):
            if isinstance(module, NormBase) and name in touched:
                _set_statistics(module, network.training, trainable=trainable)
    return network


def _set_statistics(norm: NormBase, training: bool, *, trainable: bool) -> None:
    """Hold a normalisation in eval mode if all its parameters are frozen, else let it train."""
    own = list(norm.parameters())
    if not (any(p.requires_grad for p in own) if own else trainable):
        hold_in_eval(norm)
    elif is_held(norm):
        release(norm)
        norm.train(training)
