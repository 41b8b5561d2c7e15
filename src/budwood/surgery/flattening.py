"""Where a network's code flattens maps into rows of values without a layer of its own for it."""

from collections.abc import Iterable, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from budwood.surgery.torch_internals import TorchDispatchMode

_aten = torch.ops.aten

_RESHAPING = {_aten.view, _aten._unsafe_view}
"""What `flatten`, `reshape` and `view` come down to."""


class Flattenings(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, remembers of which maps each row of values was made by flattening.

    It watches the operations that really run, so a mean over the pixels is not taken for it.

    Example:
        >>> with Flattenings() as flattenings:
        ...     values = torch.flatten(torch.zeros(1, 256, 6, 6), 1)
        ...     flattenings.take(values), flattenings.take(values)
        ((1, 256, 6, 6), None)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sources: MutableMapping[Tensor, tuple[int, ...]] = WeakTensorKeyDictionary()

    def take(self, values: Tensor) -> tuple[int, ...] | None:
        """Shape of the maps that these values are, once; None if they come from elsewhere."""
        return self._sources.pop(values, None)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in _RESHAPING and _flattens(args[0], result):
            self._sources[result] = tuple(args[0].shape)
        return result


def _flattens(source: Tensor, result: Tensor) -> bool:
    return source.ndim > 2 and result.ndim == 2 and source.shape[0] == result.shape[0]
