"""A key changes exactly if an input changes, whatever the input is."""

import collections
import copy
import dataclasses
import enum
import functools
import io
import logging
import math
import operator
import os
import pickle
import re
import subprocess
import sys
import threading
import types
import typing
import weakref
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional

from budwood.models.building import build
from budwood.surgery import fingerprints as describing
from budwood.surgery.fingerprints import described, graph_keys, module_key, module_words
from budwood.surgery.tracing import trace

pytestmark = pytest.mark.slow


class Mode(enum.Enum):
    ONE = 1
    TWO = 2


class Level(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Config:
    scale: object
    rest: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    scale: object


class Plain:
    def __init__(self, scale):
        self.scale = scale

    def forward(self, x):
        return x * self.scale


class Mapping(dict):
    pass


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.sampled_from([Mode.ONE, Mode.TWO, Level.ONE, torch.float32, torch.float16, ...]),
    st.sampled_from([torch.device("cpu"), torch.device("meta"), torch.Size([1]), Path("a")]),
    st.sampled_from([np.float32(1), np.float64(1), np.int64(1), range(2), slice(1, 2)]),
    st.sampled_from([functional.relu, torch.relu, math.sin, operator.add, nn.ReLU, Plain]),
)
HASHABLE = st.one_of(st.integers(-3, 3), st.text(max_size=2), st.sampled_from(list(Mode)))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.frozensets(HASHABLE, max_size=3),
        st.builds(Config, inner, inner),
        st.builds(Slotted, inner),
        st.builds(Plain, inner),
        st.builds(lambda x: Mapping(a=x), inner),
        st.builds(lambda x: functools.partial(functional.relu, x), inner),
        st.builds(lambda x: Plain(x).forward, inner),
        st.builds(lambda x: lambda y: (y, x), inner),
        st.builds(lambda x: types.SimpleNamespace(x=x), inner),
        st.builds(lambda x: collections.OrderedDict(x=x), inner),
        st.builds(lambda x: np.array([1.0, len(repr(x))]), inner),
    ),
    max_leaves=4,
)


def model_of(value):
    """The same value as nested tuples of types and plain values, in another way than the code."""
    kind = type(value)
    if isinstance(value, types.FunctionType) and value.__name__ == "<lambda>":
        return "lambda", model_of(value.__closure__[0].cell_contents)
    if isinstance(value, types.MethodType):
        return "method", model_of(value.__self__.scale)
    if isinstance(value, functools.partial):
        return "partial", model_of(value.args)
    if isinstance(value, set | frozenset):
        return kind, frozenset(map(model_of, value))
    if isinstance(value, list | tuple):
        return kind, tuple(map(model_of, value))
    if isinstance(value, dict):
        return kind, tuple((model_of(k), model_of(v)) for k, v in value.items())
    if isinstance(value, Slotted):
        return kind, model_of(value.scale)
    if isinstance(value, Config | Plain | types.SimpleNamespace):
        return kind, model_of(vars(value))
    if isinstance(value, np.ndarray):
        return kind, tuple(value.tolist())
    return kind, repr(value)


@given(VALUES, VALUES)
def test_a_description_changes_exactly_if_the_value_changes(one, other):
    assert (described(one) == described(other)) == (model_of(one) == model_of(other))


@given(VALUES)
def test_a_copy_has_the_same_description(value):
    assert described(value) == described(copy.deepcopy(value))


def closure(k):
    return lambda x: x * k


def default(k):
    return lambda x, k=k: x * k


def keyword_default(k):
    return lambda x, *, k=k: x * k


def from_global(k):
    return eval("lambda x: x * k", {"k": k})


def from_module(k):
    module = types.ModuleType("settings")
    module.inner = types.ModuleType("settings.inner")
    module.inner.scale = k
    return eval("lambda x: x * settings.inner.scale", {"settings": module})


def calling(k):
    return eval("lambda x: f(x)", {"f": closure(k)})


def with_class_attribute(k):
    return type("Block", (), {"scale": k, "__module__": "mine"})()


def with_property(k):
    return type("Block", (), {"scale": property(closure(k)), "__module__": "mine"})()


def with_static_method(k):
    return type("Block", (), {"scale": staticmethod(closure(k)), "__module__": "mine"})()


def with_hook(k, register=nn.Module.register_forward_hook):
    layer = nn.Identity()
    register(layer, lambda module, inputs, output=None: k)
    return layer


def holding_itself(k):
    made = Config(k)
    made.rest = [made]
    return made


MAKERS = {
    "dataclass": Config,
    "nested dataclass": lambda k: Config([{"a": Config((k,))}]),
    "array": lambda k: np.full(3, k),
    "array of objects": lambda k: np.array([k, None], object),
    "tensor": lambda k: torch.full((3,), float(k)),
    "tensor in a list": lambda k: [torch.tensor(float(k))],
    "closure": closure,
    "default": default,
    "keyword default": keyword_default,
    "global": from_global,
    "module": from_module,
    "function of a function": calling,
    "partial": lambda k: functools.partial(operator.mul, k),
    "cached function": lambda k: functools.lru_cache(closure(k)),
    "nested partial": lambda k: functools.partial(closure(k), 1),
    "bound method": lambda k: Plain(k).forward,
    "method in C": lambda k: [k].count,
    "set of tuples": lambda k: {(k, "a"), (3, "b")},
    "deque": lambda k: collections.deque([k]),
    "named tuple": lambda k: collections.namedtuple("Pair", "a b")(k, 1),
    "pattern": lambda k: re.compile(f"{k}"),
    "class attribute": with_class_attribute,
    "property": with_property,
    "static method": with_static_method,
    "hook": with_hook,
    "hook before": lambda k: with_hook(k, nn.Module.register_forward_pre_hook),
    "generator": lambda k: torch.Generator().manual_seed(k),
    "layer": lambda k: [nn.LeakyReLU(k)],
    "weak reference": lambda k: weakref.ref(KEPT[k]),
    "holds itself": holding_itself,
    "constant": lambda k: eval(f"lambda x: x * {k}"),
    "constant in a set": lambda k: eval(f"lambda x: x in {{{k}, 'a'}}"),
}
KEPT = {k: Plain(k) for k in (1, 2)}


@pytest.mark.parametrize("name", MAKERS)
def test_a_setting_is_in_the_key_of_its_module(name):
    class Block(nn.Module):
        def __init__(self, setting):
            super().__init__()
            self.setting = setting

    one, same, other = (module_key(Block(MAKERS[name](k))) for k in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    "make",
    [
        threading.Lock,
        lambda: (i for i in range(3)),
        lambda: io.TextIOWrapper(io.BytesIO()),
        lambda: types.ModuleType("mine"),
        lambda: typing.TypeVar("Mine"),
        lambda: type("Lossy", (), {"__getstate__": lambda self: None})(),
        lambda: type("Broken", (), {"__reduce_ex__": lambda self, n: 1 / 0})(),
        lambda: torch.empty(2, device="meta"),
        lambda: np.array([threading.Lock()], object),
        lambda: eval("lambda: lock", {"lock": threading.Lock()}),
    ],
)
def test_what_cannot_be_told_is_never_shared(make, caplog):
    value = make()
    with caplog.at_level(logging.INFO, "budwood"):
        assert described(value) != described(value)
        assert described([value]) != described([value])
        assert described(Config(value)) != described(Config(value))
    assert "are not shared between runs" in caplog.text


def test_names_of_a_users_file_that_python_has_too_are_not_trusted(monkeypatch):
    module = types.ModuleType("statistics")
    module.__file__ = "/home/me/statistics.py"
    monkeypatch.setitem(sys.modules, "statistics", module)
    describing._is_known.cache_clear()
    try:
        made = [eval(f"lambda x: x * {k}", {"__name__": "statistics"}) for k in (1, 2)]
        assert described(made[0]) != described(made[1])
    finally:
        describing._is_known.cache_clear()


def test_a_set_of_functions_has_no_order():
    parts = [closure(1), closure(2), Plain, nn.ReLU, Mode.ONE]  # sets go by where these lie
    words = {described([{*parts[i:], *parts[:i]}, Config(parts[i])]) for i in range(1)}
    again = [closure(2), Mode.ONE, nn.ReLU, closure(1), Plain]
    assert words == {described([set(again), Config(again[3])])}


def test_a_graphs_arguments_are_told_faithfully():
    def network(k):
        class Net(nn.Module):
            def forward(self, x):
                return torch.where(x > 0, x, k) if k else x.to(torch.float64)

        return Net()

    keys = {graph_keys(_as_trunk(network(k))) for k in (0, 1, 1.0, 2)}
    assert len(keys) == 4


def _as_trunk(network):
    traced = trace(network)
    (output,) = traced.graph.find_nodes(op="output")
    output.args = (output.args,)
    return fx.GraphModule(traced.root, traced.graph)


def networks():
    """Some of every source, built without weights on no device: only settings are looked at."""
    torch_vision = torchvision.models
    with torch.device("meta"):
        yield (
            "swin",
            torch_vision.swin_transformer.SwinTransformer([4, 4], 12, [1, 1], [2, 2], [2, 2]),
        )
        yield "mobilenet_v3", torch_vision.mobilenet_v3_small()
        yield "vit", torch_vision.VisionTransformer(32, 16, 1, 2, 8, 16)
        for name in (
            "test_resnet",
            "test_vit",
            "test_convnext",
            "test_efficientnet",
            "test_byobnet",
        ):
            yield name, timm.create_model(name)
    for name in ("lenet5", "resnet20_cifar"):
        yield name, build(name, weights="none")


KEYS = """
import sys
sys.path.insert(0, sys.argv[1])
from budwood.surgery import fingerprints as describing
import test_describing
describing.digest_of = lambda tensor: str(tensor.shape).encode()
for name, network in test_describing.networks():
    print(name, describing.hashed(describing.module_words(network)))
"""


def test_keys_of_ordinary_networks_are_the_same_in_every_process(monkeypatch):
    def never(value, problem):
        raise AssertionError(f"{type(value)}: {problem}")

    monkeypatch.setattr(describing, "_unknown", never)
    monkeypatch.setattr(describing, "digest_of", lambda tensor: str(tensor.shape).encode())
    here = [f"{name} {describing.hashed(module_words(net))}" for name, net in networks()]
    assert len({line.split()[1] for line in here}) == len(here)
    other = subprocess.run(
        [sys.executable, "-c", KEYS, Path(__file__).parent],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.splitlines() == here


def test_a_pickled_network_has_the_same_key():
    network = timm.create_model("test_vit")
    assert module_key(network) == module_key(pickle.loads(pickle.dumps(network)))
