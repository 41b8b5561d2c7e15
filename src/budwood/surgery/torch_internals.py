"""What Budwood uses of torch and timm that is private to them: a new version breaks this file only.

Names that are of use under their own name are handed on; the others are wrapped.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef as StorageWeakRef
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.batchnorm import _NormBase as NormBase
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves as tree_leaves
from torch.utils._pytree import tree_map_only as tree_map_only

__all__ = ["BatchNorm", "NormBase", "StorageWeakRef", "TorchDispatchMode", "tree_leaves"]

Operators = torch._ops.OpOverload | torch._ops.OpOverloadPacket
"""The operations of torch, as a traced graph calls them."""


def without_modes() -> AbstractContextManager[Any]:
    """While this lasts, no dispatch mode sees what is computed."""
    return _disable_current_modes()


def memory_of(tensor: Tensor) -> int:
    """The same number for all views of the same memory."""
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def shapes_only() -> Iterator[None]:
    """While this lasts, tensors have shapes and no values; what does not fit is not logged."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    logger = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield
    finally:
        logger.disabled = was_disabled


def untraceable_functions() -> tuple[Callable[..., Any], ...]:
    """Functions that timm marks as impossible to trace; nothing where timm is not in use."""
    if "timm" not in sys.modules:
        return ()
    from timm.models._features_fx import get_notrace_functions

    return tuple(get_notrace_functions())


def arguments_of(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of an operation by name, defaults included."""
    expected = func._schema.arguments
    given = dict(zip((a.name for a in expected), args, strict=False)) | {**kwargs}
    return {a.name: given.get(a.name, a.default_value) for a in expected}
