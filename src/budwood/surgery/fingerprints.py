"""Digests of tensors and of the graphs that make them: what must not change, and what is equal.

A setting is put in words: equal words only for what computes the same, the same in every process.
Code is told by its bytes, with all that it reaches: constants, defaults, closures, and the globals
it names. A value that cannot be told faithfully (an open file, an object of foreign C code) gets
words that no other value ever gets: features are then computed anew, and never wrong.
"""

import enum
import functools
import hashlib
import inspect
import logging
import re
import secrets
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from budwood.surgery.freezing import keeps_statistics, trainable_parameters
from budwood.surgery.torch_internals import NormBase, Operators
from budwood.surgery.tracing import (
    at_path,
    drops_now,
    is_dropout_call,
    is_dropping_call,
    is_random_module,
    passes_on_input,
)

SIZE = 16
"""Bytes of a digest: 128 bits, so that a billion of them collide with probability 1e-21."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range)
_WITHOUT_GLOBALS = {"torchvision", "timm", "budwood"}
"""Packages whose globals are constant: their code tells enough."""
_NO_SETTINGS = vars(nn.Module()).keys() | {"train"}
"""Attributes that every module has, and the mark of a module held in eval mode."""
_NO_CODE = {
    *("__module__", "__qualname__", "__dict__", "__weakref__", "__doc__", "__annotations__"),
    *("__firstlineno__", "__static_attributes__", "__parameters__", "__orig_bases__"),
    *("__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__", "__type_params__"),
}
"""Attributes of classes that compute nothing, or only repeat what others say."""
_DESCRIPTORS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
_REDUCERS = "__reduce__", "__reduce_ex__", "__getstate__"

_log = logging.getLogger("budwood")


class Key(str):
    """A key inside printed arguments: never equal to a string constant of a graph."""


def described(value: Any) -> str:
    """A value in words that are the same for equal values only, in every process."""
    return _Description().of(value)


def module_words(module: nn.Module) -> str:
    """A module as a whole: its classes with their code, settings and hooks, and exact weights."""
    return _Description().module(module)


def digest_of(tensor: Tensor) -> bytes:
    """A digest of a tensor: its type, shape and exact values."""
    hasher = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=SIZE)
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel():
        hasher.update(flat.view(torch.uint8).numpy().data)
    return hasher.digest()


def hashed(text: str) -> str:
    """A digest of text."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=SIZE).hexdigest()


class _Description:
    """One walk through a value, which may hold itself."""

    def __init__(self) -> None:
        self._within: list[Any] = []
        """What is being described, from the outermost on."""
        self._met: dict[int, tuple[int, Any]] = {}
        """Functions and classes, which are told once; held, so that no other gets their id."""

    def of(self, value: Any) -> str:
        if isinstance(value, Key):
            return f"<{value}>"
        if type(value) in _PLAIN:
            return repr(value)
        for depth, outer in enumerate(self._within):
            if outer is value:
                return f"<level {depth}>"
        self._within.append(value)
        try:
            return self._compound(value)
        except Exception as problem:  # of any kind: user's objects may do anything when looked at
            return _unknown(value, problem)
        finally:
            self._within.pop()

    def module(self, module: nn.Module) -> str:
        parts = []
        for path, part in module.named_modules():
            settings = {k: v for k, v in vars(part).items() if k not in _NO_SETTINGS}
            words = [path, self.of(type(part)), self._pairs(settings.items())]
            parts.append(" ".join([*words, *self._hooks(part)]))
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            parts.append(f"{name} {digest_of(tensor).hex()}")
        return "\n".join(parts)

    def _hooks(self, module: nn.Module) -> Iterator[str]:
        """What is run before and after a module's own code; their numbers say only their order."""
        for name in ("_forward_pre_hooks", "_forward_hooks"):
            with_kwargs = vars(module)[f"{name}_with_kwargs"]
            for number, hook in vars(module)[name].items():
                yield f"{name} {number in with_kwargs} {self.of(hook)}"

    def _compound(self, value: Any) -> str:
        kind = type(value)
        if isinstance(value, enum.Enum):
            return f"{self.of(kind)}.{value.name}"
        if isinstance(value, torch.dtype | torch.device | torch.layout | torch.memory_format):
            return f"{kind.__name__} {value}"
        if isinstance(value, Tensor):
            return f"tensor {digest_of(value).hex()}"
        if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            content = hashlib.blake2b(np.ascontiguousarray(value).data, digest_size=SIZE)
            return f"{kind.__name__} {value.dtype.str} {value.shape} {content.hexdigest()}"
        if kind in (list, tuple, torch.Size, fx.immutable_collections.immutable_list):
            return f"{kind.__name__.removeprefix('immutable_')}[{', '.join(map(self.of, value))}]"
        if kind in (set, frozenset):
            return f"{kind.__name__}{{{', '.join(sorted(map(self._apart, value)))}}}"
        if kind in (dict, fx.immutable_collections.immutable_dict, types.MappingProxyType):
            return f"dict{{{self._pairs(value.items())}}}"
        if kind is slice:
            return f"slice {self.of([value.start, value.stop, value.step])}"
        if isinstance(value, PurePath | re.Pattern | np.dtype | np.ufunc):
            return repr(value)
        if isinstance(value, weakref.ref):
            return f"reference to {self.of(value())}"
        if isinstance(value, nn.Module):
            return f"module {hashed(self.module(value))}"
        if callable(value) or isinstance(value, _WRAPPERS):
            words = self._code(value)
            if words is not None:
                return words
        if isinstance(value, types.ModuleType):
            return self._python_module(value, ())
        return self._object(value)

    def _apart(self, value: Any) -> str:
        """In words that do not depend on what was described before: sets have no order."""
        other = _Description()
        other._within, other._met = self._within, dict(self._met)
        return other.of(value)

    def _pairs(self, items: Iterable[tuple[Any, Any]]) -> str:
        return ", ".join(f"{self.of(key)}: {self.of(value)}" for key, value in items)

    def _code(self, value: Any) -> str | None:
        """A function, a class, or what stands for one; None for other objects."""
        if isinstance(value, type | types.FunctionType):
            return self._once(value)
        if isinstance(value, functools.partial):
            return f"partial {self.of([value.func, value.args, value.keywords, vars(value)])}"
        if isinstance(value, types.MethodType):
            return f"method {self.of(value.__func__)} of {self.of(value.__self__)}"
        if isinstance(value, types.BuiltinFunctionType):  # also a method of an object in C
            owner = value.__self__
            bound = owner is not None and not isinstance(owner, types.ModuleType | type)
            return f"{_name(value)}{f' of {self.of(owner)}' if bound else ''}"
        if isinstance(value, _DESCRIPTORS):
            return f"{_name(value.__objclass__)}.{value.__name__}"
        if isinstance(value, staticmethod | classmethod):
            return f"{type(value).__name__} {self.of(value.__func__)}"
        if isinstance(value, functools._lru_cache_wrapper):
            return f"cached {self.of(value.__wrapped__)}"
        if isinstance(value, property):
            return f"property {self.of([value.fget, value.fset, value.fdel])}"
        if isinstance(value, Operators):
            return f"operation {value}"
        return None

    def _once(self, value: Any) -> str:
        if id(value) in self._met:
            return f"<met {self._met[id(value)][0]}>"
        self._met[id(value)] = len(self._met), value
        words = self._class(value) if isinstance(value, type) else self._function(value)
        return f"{_name(value)} {hashed(words)}"

    def _function(self, function: types.FunctionType) -> str:
        cells = [_content(cell) for cell in function.__closure__ or ()]
        words = [self.of(cells), self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        if _is_by_name(function):
            return " ".join(words)
        words += [self._compiled(function.__code__), self.of(vars(function))]
        if _package(function) not in _WITHOUT_GLOBALS:
            names = frozenset(_names(function.__code__))
            words.append(self._globals(function.__globals__, names))
        return " ".join(words)

    def _globals(self, there: dict[str, Any], names: Iterable[str]) -> str:
        """What a function finds under the names in its code."""
        found = []
        for name in sorted(name for name in names if name in there):
            value = there[name]
            is_module = isinstance(value, types.ModuleType)
            found.append(
                f"{name}: {self._python_module(value, names) if is_module else self.of(value)}"
            )
        return ", ".join(found)

    def _python_module(self, module: types.ModuleType, names: Iterable[str]) -> str:
        """A module by its name; of one that a user wrote, what the code may take from it."""
        name = module.__name__
        package = name.partition(".")[0]
        if package in _WITHOUT_GLOBALS or _is_known(package):
            return f"module {name}"
        if not names:
            raise ValueError(f"the code may take anything from the module {name}")
        if any(outer is module for outer in self._within):
            return f"module {name}"
        self._within.append(module)
        try:
            return f"module {name} {{{self._globals(vars(module), names)}}}"
        finally:
            self._within.pop()

    def _class(self, kind: type) -> str:
        words = []
        for base in kind.__mro__:
            if not _is_by_name(base):
                words.append(f"{_name(base)} {self._body(base)}")
            elif base is not object:
                words.append(_name(base))
        return " ".join(words)

    def _body(self, kind: type) -> str:
        own = {k: v for k, v in vars(kind).items() if k not in _NO_CODE}
        if issubclass(kind, enum.Enum):
            members = [(member.name, member.value) for member in kind.__members__.values()]
            own = {k: v for k, v in own.items() if isinstance(v, _WRAPPERS)} | {"": members}
        elif _package(kind) in _WITHOUT_GLOBALS:
            own = {k: v for k, v in own.items() if isinstance(v, _WRAPPERS)}
        return self._pairs(sorted(own.items()))

    def _compiled(self, code: types.CodeType) -> str:
        constants = [
            self._compiled(c) if isinstance(c, types.CodeType) else self.of(c)
            for c in code.co_consts
        ]
        names = [*code.co_names, "|", *code.co_freevars, "|", *code.co_cellvars]
        table = getattr(code, "co_exceptiontable", b"")
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        return hashed(f"{code.co_code.hex()} {table.hex()} {counts} {names} {constants}")

    def _object(self, value: Any) -> str:
        """An object by its class and what would be pickled of it.

        Pickling is known to keep all there is for Python's own types, and for objects of classes
        that do not interfere with it: it refuses those with a state in C.
        """
        kind = type(value)
        if isinstance(value, logging.Logger):
            return f"logger {value.name}"
        own = [inspect.getattr_static(kind, name, None) for name in _REDUCERS]
        if not _is_by_name(kind) and any(
            isinstance(f, types.FunctionType) and f.__module__ != "dataclasses" for f in own
        ):
            raise TypeError("its class decides what is pickled")
        reduced = value.__reduce_ex__(2)
        if isinstance(reduced, str):  # a global of a module: what its name says, or anything
            if not _is_by_name(value):
                raise TypeError("it is known by its name only")
            return f"{value.__module__}.{reduced}"
        function, arguments, *more = reduced
        state, items, pairs = (*more, None, None, None)[:3]
        rest = [list(each) if isinstance(each, Iterator) else each for each in (items, pairs)]
        return f"object {self.of(kind)} {self.of([function, list(arguments), state, *rest])}"


_WRAPPERS = types.FunctionType, staticmethod, classmethod, property


def _unknown(value: Any, problem: Exception) -> str:
    _log.info(
        "Features that depend on a %s are not shared between runs: %s", _name(type(value)), problem
    )
    return f"<unknown {secrets.token_hex(SIZE)}>"


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", None)).partition(".")[0]


def _is_by_name(value: Any) -> bool:
    """True for a function or class that is what its name says: PyTorch's, NumPy's, Python's."""
    return _is_known(_package(value))


@functools.cache
def _is_known(package: str) -> bool:
    if package in ("torch", "numpy"):
        return True
    if package not in sys.stdlib_module_names or package == "__main__":
        return False
    file = getattr(sys.modules.get(package), "__file__", None)  # a user may call a file so
    return file is None or PurePath(file).is_relative_to(sysconfig.get_path("stdlib"))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return NotImplemented


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


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
    for node in trunk.graph.nodes:
        if node.op == "output":
            break
        keys[node] = _key_of(node, keys, trunk)
    (outputs,) = node.args
    return tuple(keys[output] for output in outputs)


def module_key(module: nn.Module) -> str:
    """A key for a module as a whole: its classes and their code, settings, hooks, exact weights."""
    return hashed(module_words(module))


def _key_of(node: fx.Node, keys: dict[fx.Node, str], trunk: fx.GraphModule) -> str:
    if node.op == "placeholder":
        return "input"
    if _hands_on_its_input(node, trunk):
        return keys[node.all_input_nodes[0]]
    if node.op == "get_attr":
        what = described(at_path(trunk, str(node.target)))
    elif node.op == "call_module":
        what = module_key(trunk.get_submodule(str(node.target)))
    else:
        what = described(node.target)
    arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: Key(keys[n]))
    return hashed(f"{node.op} {what} {described(arguments)}")


def _hands_on_its_input(node: fx.Node, trunk: fx.GraphModule) -> bool:
    """True for dropout that is switched off, and for `nn.Identity`."""
    if node.op == "call_module":
        module = trunk.get_submodule(str(node.target))
        return passes_on_input(module) and not (is_random_module(module) and drops_now(module))
    return is_dropout_call(node) and not is_dropping_call(node)


def _may_change(module: nn.Module) -> bool:
    if isinstance(module, NormBase):
        return not keeps_statistics(module)
    return bool(trainable_parameters(module))
