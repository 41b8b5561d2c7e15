"""Is a file of weights that of another network? What its tensors and their number tell."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from budwood.networks.catalog import models

if TYPE_CHECKING:
    from torch import Tensor

_CLASSES = 1000
"""What the catalogue's numbers of parameters are for, nearly always."""
_STATISTICS = (".running_mean", ".running_var", ".num_batches_tracked")
_SHOWN = 3

_FEW, _SHARE = 8, 0.2
"""A changed first layer or a cut last block differs in less; ResNet-152 and 101 in a third."""


def other_layers(
    taken: Collection[str], reshaped: Iterable[str], lacking: Iterable[str]
) -> tuple[str, ...]:
    """The tensors that tell of other layers: of another shape, or one more or less of a kind.

    Of a kind are tensors whose names differ by numbers only, as those of the blocks of a stage.

    Args:
        taken: Names of the tensors that agree.
        reshaped: Names of those with another shape.
        lacking: Names of those that one side lacks.

    Example:
        >>> other_layers({"layer1.0.conv.weight"}, [], ["layer1.1.conv.weight", "neck.weight"])
        ('layer1.1.conv.weight',)
    """
    kinds = {_kind(name) for name in taken}
    return (*reshaped, *(name for name in lacking if _kind(name) in kinds))


def are_strangers(taken: int, others: int) -> bool:
    """True if so many tensors tell of other layers that the networks cannot be the same."""
    return others >= _FEW and others > _SHARE * (taken + others)


def namesakes(state: "Mapping[str, Tensor]") -> tuple[str, ...]:
    """The architectures that have as many parameters as a file; up to three.

    The head is counted as for 1000 classes, auxiliary heads are not counted.

    Example:
        >>> from budwood.networks.building import build
        >>> namesakes(build("squeezenet1_1", weights="none", device="meta").state_dict())
        ('squeezenet1_1',)
    """
    sizes = {name: t.numel() for name, t in state.items() if _is_counted(name)}
    total = sum(sizes.values())
    heads = [name for name in sizes if name.endswith(".weight") and state[name].ndim == 2]
    possible = {total}
    if heads:
        rows, width = state[heads[-1]].shape
        has_bias = f"{heads[-1].removesuffix('weight')}bias" in sizes
        possible.add(total + (_CLASSES - rows) * (width + has_bias))
    found = [each.name for each in models() if each.parameters in possible]
    return tuple(sorted(found, key=lambda name: ("/" in name, len(name), name))[:_SHOWN])


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _is_counted(name: str) -> bool:
    return not name.lower().startswith("aux") and not name.endswith(_STATISTICS)
