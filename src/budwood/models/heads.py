"""The last layers of a network: where they are, and new ones for other classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from budwood.classics.lenet import EuclideanRBF
from budwood.errors import ConfigError
from budwood.head_kinds import head_of
from budwood.models.info import info, set_info
from budwood.models.timm_source import told_heads
from budwood.settings import require_setting
from budwood.threads import TRACING


class MLPHead(nn.Sequential):
    """A head of several layers; a type of its own, so that it can be found and replaced."""


def replace_head(
    network: nn.Module, classes: int | Sequence[str], head: str = "linear", seed: int = 0
) -> nn.Module:
    """The network itself, with new last layers for `classes`; nothing else in it changes.

    Every head is replaced: both of a distilled network, and the last layers of auxiliary
    classifiers (always linear), so that their numbers of classes agree. Where a network
    classifies by a 1x1 convolution the new layers are 1x1 convolutions. A network that ends in
    features, as many self-supervised ones do, gets a head behind them.

    Args:
        classes: How many, or their names.
        head: `linear`, or `mlp:2048,1024` for hidden layers of these widths, each followed by
            ReLU and dropout of one half.
        seed: Seeds the new layers; the global random state is not touched.

    Raises:
        ConfigError: If a head cannot be found or the options are impossible; the network is as
            it was.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
        >>> replace_head(network, ["cat", "dog"], head="mlp:8")[1][-1]
        Linear(in_features=8, out_features=2, bias=True)
    """
    names = class_names(classes)
    count = classes if isinstance(classes, int) else len(classes)
    require_setting("head", head)
    main = _main_heads(network)
    auxiliary = _auxiliary_heads(network, main)
    slots = [(path, _slot(network, path), head) for path in main]
    slots += [(path, _slot(network, path), "linear") for path in auxiliary]
    with TRACING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers = {path: slot.layers(kind, count) for path, slot, kind in slots}
    for path, layer in layers.items():
        _put(network, path, layer.train(network.training), count)
    if (origin := info(network).origin) is not None:
        origin = replace(origin, head=head, num_classes=count, classes=names)
        set_info(network, origin=origin)
    return network


def head_names(network: nn.Module) -> list[str]:
    """The paths of the modules that classify: the main head first, auxiliary ones last."""
    main = _main_heads(network)
    return [*main, *_auxiliary_heads(network, main)]


def num_outputs(network: nn.Module) -> int:
    """How many classes a network tells apart; 0 if it ends in features."""
    if (told := told_heads(network)) is not None:
        return told[1]
    head = network.get_submodule(head_names(network)[0])
    last = head[-1] if isinstance(head, MLPHead) else head
    return last.out_channels if isinstance(last, nn.Conv2d) else cast(nn.Linear, last).out_features


def class_names(classes: int | Sequence[str]) -> tuple[str, ...] | None:
    """The names of the classes in order; None if only their number is given."""
    if isinstance(classes, int):
        if classes < 1:
            raise ConfigError(f"classes is {classes}.", expected="There must be at least 1.")
        return None
    names = () if isinstance(classes, str) else tuple(classes)
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice or not all(names):
        raise ConfigError(
            f"{twice[0]!r} is there twice." if twice else f"These are no classes: {classes!r}.",
            expected="classes must be a number, or a list of different names.",
        )
    return names


@dataclass(frozen=True)
class _Slot:
    """What new layers in the place of a head must be like."""

    width: int
    convolution: bool
    like: Tensor
    """A weight whose device and type the new ones share."""

    def layers(self, head: str, classes: int) -> nn.Module:
        kind, hidden = head_of(head)
        stack = kind.layers(nn, self._layer, (self.width, *hidden, classes))
        return MLPHead(*stack) if len(stack) > 1 else stack[0]

    def _layer(self, entering: int, leaving: int) -> nn.Module:
        # Initialised on the CPU, so that the same seed gives the same values on every device.
        device = torch.device("meta" if self.like.is_meta else "cpu")
        if self.convolution:
            layer: nn.Module = nn.Conv2d(entering, leaving, 1, device=device)
        else:
            layer = nn.Linear(entering, leaving, device=device)
        return layer.to(self.like)


def _slot(network: nn.Module, path: str) -> _Slot:
    old = network.get_submodule(path)
    layers = (nn.Linear, nn.Conv2d)
    made = (module for module in old.modules() if isinstance(module, layers))
    first = next(made, old) if isinstance(old, MLPHead) else old
    if isinstance(first, nn.Linear | EuclideanRBF):
        return _Slot(first.in_features, False, first.weight)
    if isinstance(first, nn.Conv2d) and first.kernel_size == (1, 1) and first.groups == 1:
        return _Slot(first.in_channels, True, first.weight)
    if isinstance(first, nn.Identity):
        width = getattr(network, "head_hidden_size", None) or getattr(network, "num_features", 0)
        weight = next(network.parameters(), None)
        if isinstance(width, int) and width and weight is not None:
            return _Slot(width, False, weight)
    raise _unknown(network, f"{path!r} is {type(first).__name__}")


def _main_heads(network: nn.Module) -> list[str]:
    modules = dict(network.named_modules())
    told = told_heads(network)
    paths = _found_heads(network) if told is None else told[0]
    if not paths or not all(path and path in modules for path in paths):
        raise _unknown(network, "none was found")
    return paths


def _found_heads(network: nn.Module) -> list[str]:
    """The layers that Budwood made, else the last linear one, else SqueezeNet's convolution."""
    modules = [item for item in network.named_modules() if not _is_auxiliary(item[0])]
    made = [path for path, module in modules if isinstance(module, MLPHead)]
    linear = [path for path, module in modules if _is_linear(module)]
    convolutions = [
        path
        for path, module in modules
        if isinstance(module, nn.Conv2d) and path.startswith("classifier.")
    ]
    return made or linear[-1:] or convolutions[-1:]


def _auxiliary_heads(network: nn.Module, main: list[str]) -> list[str]:
    """The last linear layer of every auxiliary branch (GoogLeNet, Inception)."""
    return [
        f"{name}.{last}"
        for name, branch in network.named_children()
        if _is_auxiliary(name) and name not in main
        for last in [path for path, module in branch.named_modules() if _is_linear(module)][-1:]
        if last
    ]


def _is_auxiliary(path: str) -> bool:
    return path.lower().startswith("aux")


def _is_linear(module: nn.Module) -> bool:
    """True for what can be a head; LeNet's distances from codes stand in the place of one."""
    # The excepted type is a part of nn.MultiheadAttention, never a head.
    linear = isinstance(module, nn.Linear | EuclideanRBF)
    return linear and not isinstance(module, NonDynamicallyQuantizableLinear)


def _put(network: nn.Module, path: str, layer: nn.Module, classes: int) -> None:
    network.set_submodule(path, layer)
    while path:  # the modules that hold the layer, the network last
        path = path.rpartition(".")[0]
        owner = network.get_submodule(path)
        if isinstance(getattr(owner, "num_classes", None), int):
            owner.num_classes = classes  # type: ignore[assignment]


def _unknown(network: nn.Module, reason: str) -> ConfigError:
    return ConfigError(
        f"No layer of {type(network).__name__} is known to classify: {reason}.",
        expected="A network must have a linear layer or a 1x1 convolution as its head.",
        next="Choose another architecture: `budwood models` lists them.",
    )
