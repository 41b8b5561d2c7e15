"""A network as a graph of operations, traced with torch.fx as deep as its code allows.

A module that cannot be traced (control flow on data, checkpointing, numbers drawn while tracing)
stays in the graph as one opaque step; the modules around it are traced all the same.
"""

import inspect
import logging
import operator
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, fx, nn

from budwood.errors import CutError
from budwood.surgery.freezing import twin
from budwood.surgery.torch_internals import (
    NormBase,
    TorchDispatchMode,
    memory_of,
    untraceable_functions,
    without_modes,
)
from budwood.threads import TRACING, settle_torch

_LIBRARY_RANDOM_MODULES = {
    *("DropPath", "StochasticDepth", "DropBlock2d", "DropBlock3d", "DropBlockBatch2d"),
    *("PatchDropout", "PatchDropoutWithIndices"),
}
"""Random layers of torchvision, timm and Budwood, by class name, so that none must be imported."""

DROPPING_FUNCTIONS = {
    *("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
    *("alpha_dropout_", "feature_dropout", "feature_alpha_dropout", "stochastic_depth"),
    *("drop_path", "drop_block2d", "drop_block3d"),
}
"""Functions that return their input where nothing is dropped."""

_LAYERS: dict[str, type[nn.Module]] = {
    "dropout": nn.Dropout,
    "dropout1d": nn.Dropout1d,
    "dropout2d": nn.Dropout2d,
    "dropout3d": nn.Dropout3d,
    "alpha_dropout": nn.AlphaDropout,
    "feature_dropout": nn.Dropout2d,
    "feature_alpha_dropout": nn.FeatureAlphaDropout,
}
"""The layer that each function stands for."""


def is_random_module(module: nn.Module) -> bool:
    """True for a layer whose only effect is random: dropout and its relatives."""
    library = type(module).__module__.startswith(("torchvision.", "timm.", "budwood."))
    return isinstance(module, nn.modules.dropout._DropoutNd | nn.RReLU) or (
        library and type(module).__name__ in _LIBRARY_RANDOM_MODULES
    )


def passes_on_input(module: nn.Module) -> bool:
    """True for a layer that returns its input unchanged when it is in eval mode."""
    exceptions = isinstance(module, nn.RReLU) or type(module).__name__ == "PatchDropoutWithIndices"
    return isinstance(module, nn.Identity) or (is_random_module(module) and not exceptions)


def drops_now(module: nn.Module) -> bool:
    """True if a random layer would change its input as it stands: in train mode, rate above 0."""
    for name in ("p", "drop_prob", "drop_rate", "prob"):
        if isinstance(rate := getattr(module, name, None), int | float):
            return module.training and rate > 0
    return module.training


def is_dropout_call(node: fx.Node) -> bool:
    """True for a traced call of a dropout function."""
    return node.op == "call_function" and _name(node) in DROPPING_FUNCTIONS


def is_dropping_call(node: fx.Node) -> bool:
    """True for a traced call of a dropout function that would change its input."""
    if not is_dropout_call(node):
        return False
    settings = _bound(node)
    rate = settings.get("p", settings.get("drop_prob", 1.0))
    training = settings.get("training", settings.get("train", True))
    return bool(training) and not (isinstance(rate, int | float) and rate == 0)


def random_layer(node: fx.Node) -> nn.Module:
    """The layer that does what a traced call of a dropout function does, in the mode it is in."""
    settings = _bound(node)
    kind = _LAYERS.get(_name(node).removesuffix("_"))
    if kind is None:
        raise CutError(
            f"{node.name} calls {_name(node)}(), which is no layer that could be moved.",
            next="Take a block that holds it as a whole.",
        )
    return kind(float(settings.get("p", 0.5)))


def drops_attention(node: fx.Node) -> bool:
    """True for a traced attention call that drops a share of its weights."""
    rate = node.kwargs.get("dropout_p")
    return _name(node) == "scaled_dot_product_attention" and rate not in (None, 0.0)


@contextmanager
def watching_randomness() -> Iterator[list[bool]]:
    """Tells afterwards, as the list's one element, whether random numbers were drawn inside.

    The generators of PyTorch, NumPy and Python are then as they were.
    """
    drawn: list[bool] = []
    with without_modes():  # the generator's state is a tensor, too
        before = torch.get_rng_state()
    numpy_before, python_before = np.random.get_state(), random.getstate()
    try:
        yield drawn
    finally:
        with without_modes():
            drew = not torch.equal(before, torch.get_rng_state())
            torch.set_rng_state(before)
        drew |= _comparable(numpy_before) != _comparable(np.random.get_state())
        drawn.append(drew or python_before != random.getstate())
        np.random.set_state(numpy_before)
        random.setstate(python_before)


def _comparable(numpy_state: Any) -> tuple[Any, ...]:
    _, key, *position = numpy_state
    return key.tobytes(), position


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by name, defaults included where Python can tell them."""
    assert callable(node.target)
    try:
        signature = inspect.signature(node.target)
    except ValueError:  # a builtin such as torch.dropout(input, p, train)
        return dict(zip(("input", "p", "train"), node.args, strict=False)) | dict(node.kwargs)
    bound = signature.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


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
        return self.root.get_submodule(str(node.target))

    def attribute(self, node: fx.Node) -> Any:
        return at_path(self.root, str(node.target))

    def parameters(self, node: fx.Node) -> list[nn.Parameter]:
        """What a node computes with: the parameters of its module, or those that it is given."""
        if node.op == "call_module":
            return list(self.module(node).parameters())
        values = [self.attribute(n) for n in node.all_input_nodes if n.op == "get_attr"]
        return [value for value in values if isinstance(value, nn.Parameter)]


def at_path(root: nn.Module, path: str) -> Any:
    """The attribute of a module at a dotted path."""
    parent, _, name = path.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def trace(network: nn.Module, steps_into: Callable[[str], bool] | None = None) -> Traced:
    """The network's graph in its present mode."""
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


def _in_place(operation: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], Any]:
    def method(self: fx.Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operation, (self, other), {})

    return method


for _operator in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    setattr(_Proxy, f"__i{_operator}__", _in_place(getattr(operator, f"i{_operator}")))


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
