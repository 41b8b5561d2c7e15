"""Digests of tensors and of the graphs that make them: what must not change, and what is equal."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from budwood.surgery.describing import Key, described, hashed, module_words
from budwood.surgery.describing import digest_of as digest_of
from budwood.surgery.freezing import keeps_statistics
from budwood.surgery.stochastic import (
    drops_now,
    is_dropout_call,
    is_dropping_call,
    is_random_module,
    passes_on_input,
)
from budwood.surgery.torch_internals import NormBase


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
    """A key for a module as a whole: its classes and their code, settings, hooks, exact weights.

    What cannot be told faithfully makes it a key that is never given again; see `describing.py`.
    """
    return hashed(module_words(module))


def _key_of(
    node: fx.Node, keys: dict[fx.Node, str], trunk: fx.GraphModule, modules: dict[str, nn.Module]
) -> str:
    if node.op == "placeholder":
        return "input"
    if _hands_on_its_input(node, modules):
        return keys[node.all_input_nodes[0]]
    if node.op == "get_attr":
        what = described(_attribute(trunk, str(node.target)))
    elif node.op == "call_module":
        what = module_key(modules[str(node.target)])
    else:
        what = described(node.target)
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: Key(keys[n]))
    return hashed(f"{node.op} {what} {described(arguments)}")


def _hands_on_its_input(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """True for dropout that is switched off, and for `nn.Identity`."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        return passes_on_input(module) and not (is_random_module(module) and drops_now(module))
    return is_dropout_call(node) and not is_dropping_call(node)


def _attribute(root: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def _may_change(module: nn.Module) -> bool:
    if isinstance(module, NormBase):
        return not keeps_statistics(module)
    return any(p.requires_grad for p in module.parameters())
