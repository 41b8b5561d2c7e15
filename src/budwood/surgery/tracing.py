"""A network as a graph of operations, traced with torch.fx as deep as its code allows.

A module that cannot be traced (control flow on data, checkpointing, numbers drawn while tracing)
stays in the graph as one opaque step; the modules around it are traced all the same.
"""

import logging
import operator
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from budwood.surgery.stochastic import is_random_module, watching_randomness

_log = logging.getLogger("budwood")

_IN_PLACE_OPERATORS = frozenset(
    {operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow, operator.iand}
    | {operator.ior, operator.ixor, operator.ifloordiv, operator.imod, operator.imatmul}
)


def trace(network: nn.Module) -> tuple[fx.GraphModule, dict[str, str]]:
    """The network's graph in its present mode, and the modules left opaque with the reason each.

    The graph shares every layer with the network. A value that an in-place operation overwrites
    is replaced, for all that read it later, by that operation's result, so that the order of
    nodes alone decides what each of them sees.

    Raises:
        UntraceableError: If the network's own `forward` cannot be traced.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(network)
    except Exception as problem:
        raise UntraceableError(_reason(problem)) from problem
    if tracer.drew_at_root:
        raise UntraceableError("its forward draws random numbers of its own")
    _follow_overwritten_values(graph, dict(network.named_modules()))
    return fx.GraphModule(network, graph), tracer.opaque


class UntraceableError(Exception):
    """The outermost `forward` cannot be traced; callers turn this into what it means for them."""


def writes_in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """True if running the node overwrites its first input."""
    if node.op == "call_module":
        return getattr(modules[str(node.target)], "inplace", False) is True
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    return (
        node.target in _IN_PLACE_OPERATORS
        or node.kwargs.get("inplace") is True
        or (name.endswith("_") and not name.endswith("__"))
    )


class _Tracer(fx.Tracer):
    """Steps into every module but layers; backs out of those whose code cannot be followed."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=_untraceable_functions(), param_shapes_constant=True)
        self.opaque: dict[str, str] = {}
        self.drew_at_root = False
        self._proxies: dict[str, fx.Proxy] = {}

    def trace(self, root: nn.Module, concrete_args: Any = None) -> fx.Graph:  # type: ignore[override]
        with watching_randomness() as drawn:
            graph = super().trace(root, concrete_args)
        self.drew_at_root = drawn[0]
        return graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            isinstance(m, _NormBase)
            or is_random_module(m)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        self._proxies = parameter_proxy_cache
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return super().call_module(m, forward, args, kwargs)
        before, stack = len(self.graph.nodes), OrderedDict(self.module_stack)
        with watching_randomness() as drawn:
            try:
                result, reason = super().call_module(m, forward, args, kwargs), ""
            except Exception as problem:
                result, reason = None, _reason(problem)
        if drawn[0] and not reason:
            reason = "it draws random numbers of its own"
        if not reason:
            return result
        self._forget_since(before)
        self.module_stack = stack  # an exception leaves the names of what it ran through in it
        self.opaque = {k: v for k, v in self.opaque.items() if not k.startswith(f"{path}.")}
        self.opaque[path] = reason
        _log.debug("%s stays one step of the graph: %s", path, reason)
        return self.create_proxy("call_module", path, args, kwargs)

    def _forget_since(self, count: int) -> None:
        gone = list(self.graph.nodes)[count:]
        for node in reversed(gone):
            self.graph.erase_node(node)
        dead = set(gone)
        for name in [n for n, proxy in self._proxies.items() if proxy.node in dead]:
            del self._proxies[name]


def _untraceable_functions() -> tuple[Callable[..., Any], ...]:
    """Functions that timm marks as impossible to trace; nothing where timm is not in use."""
    if "timm" not in sys.modules:
        return ()
    from timm.models._features_fx import get_notrace_functions

    return tuple(get_notrace_functions())


def _reason(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


def _follow_overwritten_values(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    position = {node: i for i, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if not writes_in_place(node, modules) or not node.all_input_nodes:
            continue
        overwritten = node.all_input_nodes[0]
        for user in list(overwritten.users):
            if position[user] > position[node]:
                user.replace_input_with(overwritten, node)


def protect_inputs(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Clone a value before an in-place operation where something else could see the overwriting.

    Whatever reaches the graph from outside, leaves it, or is read twice is never written to.
    """
    for node in list(graph.nodes):
        if not writes_in_place(node, modules) or not node.all_input_nodes:
            continue
        source = node.all_input_nodes[0]
        if _is_seen_elsewhere(source, modules):
            with graph.inserting_before(node):
                copy = graph.call_function(torch.clone, (source,))
            node.replace_input_with(source, copy)


def _is_seen_elsewhere(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """True if overwriting the node's value, or what it is a view of, could be noticed."""
    while True:
        if node.op in ("placeholder", "get_attr") or len(node.users) > 1:
            return True
        makes_new_memory = node.op == "call_module" and any(
            True for _ in modules[str(node.target)].parameters()
        )
        if makes_new_memory or not node.all_input_nodes:
            return False
        if len(node.all_input_nodes) > 1 and not writes_in_place(node, modules):
            return any(_is_seen_elsewhere(n, modules) for n in node.all_input_nodes)
        node = node.all_input_nodes[0]
