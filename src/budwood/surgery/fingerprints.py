"""Digests of tensors and of the graphs that make them: what must not change, and what is equal."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase

from budwood.surgery.freezing import keeps_statistics
from budwood.surgery.stochastic import (
    drops_now,
    is_dropout_call,
    is_dropping_call,
    is_random_module,
    passes_on_input,
)

SIZE = 16
"""Bytes of a digest: 128 bits, so that a billion of them collide with probability 1e-21."""


_NO_SETTINGS = vars(nn.Module()).keys() | {"train"}
"""Attributes that every module has, and the mark of a module held in eval mode."""


def digest_of(tensor: Tensor) -> bytes:
    """The digest of a tensor's type, shape and exact values."""
    hasher = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=SIZE)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel():
        hasher.update(flat.view(torch.uint8).numpy().data)
    return hasher.digest()


def frozen_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every tensor that training must leave as it is: by name, frozen parameters and buffers.

    Buffers count as frozen but for those of a module that trains: the running statistics of a
    batch normalisation that is not held in eval mode, and the buffers of any other module with a
    trainable parameter in it.
    """
    frozen = {n: p.detach() for n, p in network.named_parameters() if not p.requires_grad}
    for path, module in network.named_modules():
        if not _may_change(module):
            frozen.update(module.named_buffers(path, recurse=False))
    return frozen


def changed_tensors(before: Mapping[str, bytes], network: nn.Module) -> list[str]:
    """The names of frozen tensors whose digest is not the one in `before`."""
    now = {name: digest_of(tensor) for name, tensor in frozen_tensors(network).items()}
    return sorted(name for name in before if now.get(name) != before[name])


def graph_keys(trunk: fx.GraphModule) -> tuple[str, ...]:
    """One key for each output of a traced graph: equal keys, equal values for equal input.

    A key covers the operations that lead to that output, their constants, their code where it is
    not PyTorch's own, and the exact weights, but no names: the same layers reached by another
    road have the same key. Dropout that is switched off leaves no trace in it.
    """
    keys: dict[fx.Node, str] = {}
    modules = dict(trunk.named_modules())
    for node in trunk.graph.nodes:
        if node.op == "output":
            break
        keys[node] = _key_of(node, keys, trunk, modules)
    (outputs,) = node.args
    return tuple(keys[output] for output in outputs)


def module_key(module: nn.Module) -> str:
    """A key for a module as a whole: its classes and their code, plain settings, exact weights."""
    parts = [repr(module)]
    for path, part in module.named_modules():
        plain = {k: _described(v) for k, v in vars(part).items() if k not in _NO_SETTINGS}
        parts.append(f"{path} {_described(type(part))} {plain}")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        parts.append(f"{name} {digest_of(tensor).hex()}")
    return _hash("\n".join(parts))


def _key_of(
    node: fx.Node, keys: dict[fx.Node, str], trunk: fx.GraphModule, modules: dict[str, nn.Module]
) -> str:
    if node.op == "placeholder":
        return "input"
    if _hands_on_its_input(node, modules):
        return keys[node.all_input_nodes[0]]
    if node.op == "get_attr":
        what = _described(_attribute(trunk, str(node.target)))
    elif node.op == "call_module":
        what = module_key(modules[str(node.target)])
    else:
        what = _described(node.target)
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: _Key(keys[n]))
    return _hash(f"{node.op} {what} {arguments!r}")


def _hands_on_its_input(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """True for dropout that is switched off, and for `nn.Identity`."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        return passes_on_input(module) and not (is_random_module(module) and drops_now(module))
    return is_dropout_call(node) and not is_dropping_call(node)


class _Key(str):
    """A key inside printed arguments: never equal to a string constant of the graph."""

    def __repr__(self) -> str:
        return f"<{self}>"


def _described(value: Any) -> str:
    """A setting in words that are the same in every process; objects only by their type."""
    if value is None or isinstance(
        value, bool | int | float | complex | str | torch.dtype | torch.device
    ):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(_described, value)))}}}"
    if isinstance(value, dict):
        return _described([(str(key), item) for key, item in value.items()])
    if isinstance(value, Tensor):
        return digest_of(value).hex()
    if isinstance(value, functools.partial):
        return _described([value.func, value.args, value.keywords])
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__} {_hash(' '.join(_code(value)))}"
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _code(value: Any) -> Iterator[str]:
    """The compiled code of a function or of a class, unless it is PyTorch's own."""
    if isinstance(value, type):
        for base in value.__mro__:
            if not base.__module__.startswith(("torch.", "builtins")):
                functions = (f for f in vars(base).values() if isinstance(f, FunctionType))
                yield from (text for function in functions for text in _code(function))
    elif isinstance(value, FunctionType) and not value.__module__.startswith("torch."):
        yield from _code(value.__code__)
    elif isinstance(value, CodeType):
        yield from (value.co_code.hex(), *value.co_names)
        for constant in value.co_consts:
            if isinstance(constant, CodeType):
                yield from _code(constant)
            else:
                yield _described(constant)


def _attribute(root: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def _may_change(module: nn.Module) -> bool:
    if isinstance(module, _NormBase):
        return not keeps_statistics(module)
    return any(p.requires_grad for p in module.parameters())


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=SIZE).hexdigest()
