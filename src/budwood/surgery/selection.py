"""Layers by name: a glob over module and parameter paths; what matches nothing is an error."""

from fnmatch import fnmatchcase

from torch import nn

from budwood.errors import PatternError
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
