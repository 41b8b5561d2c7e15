"""Frozen means frozen: no gradient, and normalisation that keeps its statistics in train mode.

Two marks make a layer frozen: its parameters do not require a gradient, and a normalisation
layer with running statistics stays in eval mode whatever `network.train()` says (complaint:
github.com/pytorch/pytorch/issues/86590). Stochastic layers are not marked here: the cut decides
which of them lie inside the frozen part (`cutting.py`).
"""

from torch import nn

from budwood.surgery.selection import selected_modules, selected_parameters
from budwood.surgery.torch_internals import NormBase
from budwood.surgery.twins import hold_in_eval, is_held, release


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
