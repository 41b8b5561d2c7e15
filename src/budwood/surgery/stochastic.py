"""Which operations are random: dropout in all its forms, as modules and as plain functions."""

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn

RANDOM_MODULES = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.FractionalMaxPool2d)

LIBRARY_RANDOM_MODULES = frozenset(
    {
        "DropPath",
        "StochasticDepth",
        "DropBlock2d",
        "DropBlock3d",
        "DropBlockBatch2d",
        "PatchDropout",
        "PatchDropoutWithIndices",
    }
)
"""Random layers of torchvision and timm, by class name, so that neither must be imported."""

DROPPING_FUNCTIONS = frozenset(
    {
        "dropout",
        "dropout_",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "alpha_dropout",
        "alpha_dropout_",
        "feature_dropout",
        "feature_alpha_dropout",
        "rrelu",
        "rrelu_",
        "stochastic_depth",
        "drop_path",
        "drop_block2d",
        "drop_block3d",
    }
)
"""Functions that return their input where nothing is dropped."""

SAMPLING = frozenset(
    {
        "bernoulli",
        "bernoulli_",
        "multinomial",
        "normal",
        "normal_",
        "poisson",
        "rand",
        "rand_like",
        "randint",
        "randint_like",
        "randn",
        "randn_like",
        "randperm",
        "random_",
        "uniform_",
        "exponential_",
        "geometric_",
    }
)
"""Functions and methods whose value is random by nature: they cannot be switched off."""


def is_random_module(module: nn.Module) -> bool:
    """True for a layer whose only effect is random: dropout and its relatives."""
    library = type(module).__module__.startswith(("torchvision.", "timm."))
    return isinstance(module, RANDOM_MODULES) or (
        library and type(module).__name__ in LIBRARY_RANDOM_MODULES
    )


def drops_now(module: nn.Module) -> bool:
    """True if a random layer would change its input as it stands: in train mode, rate above 0."""
    for name in ("p", "drop_prob", "drop_rate", "prob"):
        if isinstance(rate := getattr(module, name, None), int | float):
            return module.training and rate > 0
    return module.training


def is_dropping_call(node: fx.Node) -> bool:
    """True for a traced call of a dropout function that would change its input."""
    name = _name(node)
    if node.op != "call_function" or name not in DROPPING_FUNCTIONS:
        return False
    settings = _bound(node)
    rate = settings.get("p", settings.get("drop_prob", settings.get("upper", 1.0)))
    training = settings.get("training", settings.get("train", True))
    return bool(training) and not (isinstance(rate, int | float) and rate == 0)


def drops_attention(node: fx.Node) -> bool:
    """True for a traced attention call that drops a share of its weights."""
    rate = node.kwargs.get("dropout_p")
    return _name(node) == "scaled_dot_product_attention" and rate not in (None, 0.0)


def is_sampling_call(node: fx.Node) -> bool:
    """True for a traced call that draws random numbers in a way that cannot be switched off."""
    return node.op in ("call_function", "call_method") and _name(node) in SAMPLING


@contextmanager
def watching_randomness() -> Iterator[list[bool]]:
    """Tells afterwards, as the list's one element, whether random numbers were drawn inside.

    Torch's and Python's generators are then as they were.
    """
    drawn: list[bool] = []
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    yield drawn
    same = torch.equal(torch_state, torch.get_rng_state()) and python_state == random.getstate()
    drawn.append(not same)
    torch.set_rng_state(torch_state)
    random.setstate(python_state)


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
