"""A network as a graph of operations, traced with torch.fx as deep as its code allows.

A module that cannot be traced (control flow on data, checkpointing, numbers drawn while tracing)
stays in the graph as one opaque step; the modules around it are traced all the same.
"""

import logging
import operator
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from budwood.surgery.stochastic import is_random_module, watching_randomness
from budwood.surgery.torch_internals import (
    NormBase,
    TorchDispatchMode,
    memory_of,
    untraceable_functions,
)
from budwood.surgery.twins import twin
from budwood.threads import TRACING, settle_torch

T = TypeVar("T", bound=Hashable)

_log = logging.getLogger("budwood")

TRIES = 5
"""A network that seems to draw random numbers is traced so often while other threads run, which may
have drawn them."""
NO_GRADIENT = "budwood_no_gradient"
"""Marks, in a node's `meta`, what ran where the network's code switches gradients off."""


class UntraceableError(Exception):
    """A network's code cannot be followed; callers turn this into what it means for them."""


@dataclass(frozen=True)
class Traced:
    """A network and the graph of what it does."""

    network: nn.Module
    root: nn.Module
    """A twin of the network, in its modes, with the constants that tracing added: what runs and
    is looked at, so that the network itself stays as it is."""
    graph: fx.Graph
    opaque: dict[str, str]
    """Modules that could not be traced, each with the reason."""

    def module(self, node: fx.Node) -> nn.Module:
        """The module that a node calls."""
        return self.root.get_submodule(str(node.target))

    def attribute(self, node: fx.Node) -> Any:
        """The parameter, buffer or constant that a node reads."""
        parent, _, name = str(node.target).rpartition(".")
        return getattr(self.root.get_submodule(parent), name)

    def with_own_layers(self, graph: fx.Graph, name: str) -> fx.GraphModule:
        """A graph over the same names as a module whose layers are the network's own."""
        module = fx.GraphModule(self.root, graph, class_name=name)
        targets = {str(node.target) for node in graph.nodes if node.op == "call_module"}
        for path in sorted(targets):
            module.set_submodule(path, self.network.get_submodule(path))
        return module

    def with_twin_layers(self, graph: fx.Graph, name: str) -> fx.GraphModule:
        """A graph over the same names as a module whose layers have modes of their own."""
        return twin(fx.GraphModule(self.root, graph, class_name=name))


def trace(network: nn.Module, steps_into: Callable[[str], bool] | None = None) -> Traced:
    """The network's graph in its present mode.

    Args:
        network: Any module; it is not changed.
        steps_into: Told the path of a module, whether the graph shows what is inside; all others
            are one step each. By default every module is entered that is no layer.

    Raises:
        UntraceableError: If the network's own `forward` cannot be traced.
    """
    settle_torch()
    with TRACING:
        for _ in range(TRIES):
            tracer = _Tracer(steps_into)
            traced = tracer.traced(network)
            if not tracer.drew or threading.active_count() == 1:
                break
    if isinstance(traced, UntraceableError):
        raise traced
    return traced


class _Tracer(fx.Tracer):
    """Steps into every module but layers; backs out of those whose code cannot be followed."""

    def __init__(self, steps_into: Callable[[str], bool] | None) -> None:
        super().__init__(autowrap_functions=untraceable_functions(), param_shapes_constant=True)
        self._steps_into = steps_into
        self.opaque: dict[str, str] = {}
        self._proxies: dict[str, fx.Proxy] = {}
        self._autocast = torch.is_autocast_enabled("cpu")
        self._thread = threading.get_ident()
        self.drew = False
        """True if random numbers were drawn anywhere in the process while it traced."""

    def traced(self, network: nn.Module) -> Traced | UntraceableError:
        """The network's graph, or why its own `forward` cannot be traced."""
        root = twin(network)
        try:
            with torch.enable_grad(), _NoWriting(root), watching_randomness() as drawn:
                graph = self.trace(root)
        except Exception as problem:
            failure = UntraceableError(_reason(problem))
            failure.__cause__ = problem
            return failure
        if drawn[0]:
            self.drew = True
            return UntraceableError("its forward draws random numbers of its own")
        return Traced(network, root, graph, self.opaque)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if self._steps_into is not None and not self._steps_into(module_qualified_name):
            return True
        return (
            isinstance(m, NormBase)
            or is_random_module(m)
            or super().is_leaf_module(m, module_qualified_name)
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:  # fx watches the modules of all threads
            return attr_val
        self._proxies = parameter_proxy_cache
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_node(
        self,
        kind: str,
        target: Any,
        args: Any,
        kwargs: Any,
        name: Any = None,
        type_expr: Any = None,
    ) -> fx.Node:
        if torch.is_autocast_enabled("cpu") != self._autocast:
            raise UntraceableError("it switches autocast for a part of its forward")
        if kind == "call_method" and target.endswith("_") and _reads_attribute(args):
            raise UntraceableError("it writes to its own tensors")
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        if not torch.is_grad_enabled():
            node.meta[NO_GRADIENT] = True
        return node

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:  # fx catches the calls of all threads
            return forward(*args, **kwargs)
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
            self.drew, reason = True, "it draws random numbers of its own"
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


class _Proxy(fx.Proxy):
    """A traced value for which `y += x` is an in-place operation, as it is for a tensor."""

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(operator.itruediv, other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._in_place(operator.ifloordiv, other)

    def __imod__(self, other: Any) -> Any:
        return self._in_place(operator.imod, other)

    def __ipow__(self, other: Any) -> Any:
        return self._in_place(operator.ipow, other)

    def __iand__(self, other: Any) -> Any:
        return self._in_place(operator.iand, other)

    def __ior__(self, other: Any) -> Any:
        return self._in_place(operator.ior, other)

    def __ixor__(self, other: Any) -> Any:
        return self._in_place(operator.ixor, other)

    def _in_place(self, operation: Callable[[Any, Any], Any], other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})


class _NoWriting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses operations that would change a module's tensors while it is traced."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._own = {memory_of(t) for t in (*module.parameters(), *module.buffers())}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            writes = argument.alias_info is not None and argument.alias_info.is_write
            if writes and isinstance(value, Tensor) and memory_of(value) in self._own:
                raise UntraceableError("it writes to its own tensors")
        return func(*args, **(kwargs or {}))


def _reads_attribute(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], fx.Node) and args[0].op == "get_attr"


def _reason(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__


def reached(starts: Iterable[T], onwards: Callable[[T], Iterable[T]]) -> set[T]:
    """All that is reached from these, and they themselves."""
    seen: set[T] = set()
    waiting = list(starts)
    while waiting:
        thing = waiting.pop()
        if thing not in seen:
            seen.add(thing)
            waiting.extend(onwards(thing))
    return seen


def ancestors(*nodes: fx.Node) -> set[fx.Node]:
    """The nodes and all that they are computed from."""
    return reached(nodes, lambda node: node.all_input_nodes)
