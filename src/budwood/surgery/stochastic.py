"""Which operations are random: dropout in all its forms, as modules and as plain functions."""

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from budwood.errors import CutError
from budwood.surgery.torch_internals import without_modes

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
"""Random layers of torchvision, timm and Budwood, by class name, so that none must be imported."""

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
        "stochastic_depth",
        "drop_path",
        "drop_block2d",
        "drop_block3d",
    }
)
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
        library and type(module).__name__ in LIBRARY_RANDOM_MODULES
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
    """The layer that does what a traced call of a dropout function does, in the mode it is in.

    Raises:
        CutError: If there is no such layer.
    """
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
