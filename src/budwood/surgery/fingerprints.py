"""Digests of tensors and of the graphs that make them: what must not change, and what is equal."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase

from budwood.surgery.freezing import keeps_statistics

SIZE = 16
"""Bytes of a digest: 128 bits, so that a billion of them collide with probability 1e-21."""


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

    A key covers the operations that lead to that output, their constants and the exact weights,
    but no names: the same layers reached by another road have the same key.
    """
    keys: dict[fx.Node, str] = {}
    modules = dict(trunk.named_modules())
    for node in trunk.graph.nodes:
        if node.op == "output":
            break
        keys[node] = _key_of(node, keys, trunk, modules)
    (outputs,) = node.args
    return tuple(keys[output] for output in outputs)


def _key_of(
    node: fx.Node, keys: dict[fx.Node, str], trunk: fx.GraphModule, modules: dict[str, nn.Module]
) -> str:
    if node.op == "placeholder":
        return "input"
    if node.op == "get_attr":
        what = digest_of(_attribute(trunk, str(node.target))).hex()
    elif node.op == "call_module":
        what = module_key(modules[str(node.target)])
    elif callable(node.target):
        what = f"{node.target.__module__}.{node.target.__qualname__}"
    else:
        what = str(node.target)
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: _Key(keys[n]))
    text = f"{node.op} {what} {arguments!r}"
    return hashlib.blake2b(text.encode(), digest_size=SIZE).hexdigest()


class _Key(str):
    """A key inside printed arguments: never equal to a string constant of the graph."""

    def __repr__(self) -> str:
        return f"<{self}>"


def module_key(module: nn.Module) -> str:
    """A key for a module as a whole: its classes, plain settings and exact weights."""
    parts = [repr(module)]
    for path, part in module.named_modules():
        plain = {k: v for k, v in vars(part).items() if _is_setting(k, v)}
        parts.append(f"{path} {type(part).__module__}.{type(part).__qualname__} {plain}")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        parts.append(f"{name} {digest_of(tensor).hex()}")
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=SIZE).hexdigest()


def _is_setting(name: str, value: Any) -> bool:
    return (
        isinstance(value, bool | int | float | str | tuple | None)
        and name != "training"
        and not name.startswith("_")
    )


def _attribute(root: nn.Module, path: str) -> Tensor:
    parent, _, name = path.rpartition(".")
    value = getattr(root.get_submodule(parent), name)
    assert isinstance(value, Tensor)
    return value


def _may_change(module: nn.Module) -> bool:
    if isinstance(module, _NormBase):
        return not keeps_statistics(module)
    return any(p.requires_grad for p in module.parameters())
