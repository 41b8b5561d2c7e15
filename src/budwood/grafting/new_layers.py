"""New layers for a graft: PyTorch's own, by name; what enters them is inferred."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.text import did_you_mean

ENTERING = {
    "Conv2d": "in_channels",
    "ConvTranspose2d": "in_channels",
    "Linear": "in_features",
    "BatchNorm1d": "num_features",
    "BatchNorm2d": "num_features",
    "GroupNorm": "num_channels",
}
"""Types whose size depends on what enters them, and the option that says it."""

PLAIN = (
    *("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "LocalResponseNorm"),
    *("Dropout", "Dropout2d", "ReLU", "LeakyReLU", "GELU", "SiLU", "Hardswish", "Sigmoid", "Tanh"),
    *("Flatten", "Identity", "ZeroPad2d", "Upsample"),
)
"""Types that take whatever enters them."""

TYPES = (*ENTERING, *PLAIN)
CLASSES = "classes"
"""As a number of outputs: as many as there are classes."""


@displayed
@dataclass(frozen=True, kw_only=True)
class NewLayer:
    """A layer that does not exist yet.

    Example:
        >>> NewLayer(type="Conv2d", options={"out_channels": 8, "kernel_size": 3}).made(3)
        Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """

    type: str
    """The class in `torch.nn`: one of `TYPES`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What that class is made with; what enters is inferred where it is not given, and a number
    of outputs can be "classes"."""
    name: str | None = None
    """What it is called in the network; by default the type in small letters, numbered."""
    frozen: bool = False

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            near = did_you_mean(self.type, TYPES, 0.5)
            raise ConfigError(
                f"No new layer is of type {self.type!r}.",
                expected=f"Did you mean {near!r}?" if near else f"There are {', '.join(TYPES)}.",
            )
        _require_options(self.type, self.options)

    @property
    def entering(self) -> int | None:
        """What it says must enter: channels or features; None if that is inferred or any."""
        option = ENTERING.get(self.type)
        given = self.options.get(option) if option else None
        return int(given) if given is not None else None

    @property
    def takes_vectors(self) -> bool:
        """True for a layer that is made for rows of features, not for maps."""
        return self.type in ("Linear", "BatchNorm1d")

    def made(self, entering: int, classes: int | None = None) -> nn.Module:
        """The layer, with random weights on the current device.

        Args:
            entering: Channels or features of what enters it.
            classes: What "classes" stands for.

        Raises:
            ConfigError: If an option is impossible, or "classes" is asked for and not known.
        """
        options = {key: self._number(key, value, classes) for key, value in self.options.items()}
        if (option := ENTERING.get(self.type)) and option not in options:
            options[option] = entering
        try:
            layer: nn.Module = getattr(nn, self.type)(**options)
        except (TypeError, ValueError, RuntimeError) as problem:
            raise ConfigError(f"No {self.type} can be made of {options}: {problem}.") from None
        return layer

    def _number(self, key: str, value: Any, classes: int | None) -> Any:
        if value != CLASSES:
            return tuple(value) if isinstance(value, list) else value
        if classes is None:
            raise ConfigError(
                f'{self.type} has {key} = "classes", and how many there are is not known.',
                next="Pass `classes`, or write a number.",
            )
        return classes


def described(layer: nn.Module) -> NewLayer | None:
    """The new layer that makes a module like this one; None if there is no such."""
    kind = type(layer).__name__
    if type(layer) is not getattr(nn, kind, None) or kind not in TYPES:
        return None
    options: dict[str, Any] = {}
    for option, parameter in inspect.signature(type(layer).__init__).parameters.items():
        if option in ("self", "device", "dtype"):
            continue
        value = getattr(layer, option, parameter.default)
        if option == "bias":
            value = value is not None and value is not False
        options[option] = list(value) if isinstance(value, tuple | torch.Size) else value
    return NewLayer(type=kind, options=options)


def _require_options(kind: str, options: Mapping[str, Any]) -> None:
    known = [
        name
        for name in inspect.signature(getattr(nn, kind).__init__).parameters
        if name not in ("self", "args", "kwargs", "device", "dtype")
    ]
    for option in options:
        if option not in known and kind != "Identity":
            near = did_you_mean(option, known, 0.5)
            raise ConfigError(
                f"{kind} has no option {option!r}.",
                expected=f"Did you mean {near!r}?" if near else f"It has {', '.join(known)}.",
            )
    missing = {"Conv2d": ("out_channels", "kernel_size"), "Linear": ("out_features",)}
    for option in missing.get(kind, ()):
        if option not in options:
            raise ConfigError(f"{kind} needs {option!r}.", expected=f"It has {', '.join(known)}.")
