"""The cut of a network whose outermost code cannot be traced: in front of its last module."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from budwood.errors import CutError
from budwood.surgery.flow import sees_the_batch
from budwood.surgery.freezing import trainable_parameters
from budwood.surgery.stochastic import watching_randomness
from budwood.surgery.twins import twin


@dataclass(frozen=True)
class Halves:
    """A network in front of its last module, and that module."""

    trunk: nn.Module
    graft: nn.Module
    name: str
    """The path of the last module."""
    silenced: tuple[str, ...]
    """The modules of the trunk that were in train mode."""
    rows: tuple[tuple[int, ...], torch.dtype]
    """Shape and type of one photo's frontier."""


def split_at_last_module(network: nn.Module, example: Tensor, reason: str) -> Halves:
    """The halves, if all that trains lies in the one module that runs last.

    Raises:
        CutError: If more than that module trains, the network does more with its output, or what
            comes before it gives another value each time.
    """
    name = _largest_that_trains(network)
    trunk = _UpTo(network, name) if name else None
    if trunk is None or not (entering := _what_enters(network, name, example)):
        raise CutError(
            f"The network's code cannot be traced ({reason}), and what trains is not "
            "the one module that runs last.",
            next="Unfreeze only the head, or pass a network whose forward torch.fx can trace.",
        )
    with torch.no_grad(), watching_randomness() as drawn:
        (row,) = trunk(example)
    front = [
        part for path, part in network.named_modules() if not f"{path}.".startswith(f"{name}.")
    ]
    if drawn[0] or any(sees_the_batch(part) for part in front if not any(part.children())):
        raise CutError(
            f"The network's code cannot be traced ({reason}), and in front of {name} it draws "
            "random numbers or normalises by the batch, so that no value is fixed for a photo.",
            next="Freeze its normalisation, or pass a network whose forward torch.fx can trace.",
        )
    if not torch.equal(row, entering[0]):
        raise CutError(
            f"The network's code cannot be traced ({reason}), and it uses {name} under "
            "another name as well.",
            next="Register that module under one name only.",
        )
    silenced = sorted(
        path
        for path, part in network.named_modules()
        if part.training and path and not f"{path}.".startswith(f"{name}.")
    )
    shape = tuple(row.shape[1:])
    return Halves(
        trunk, _FromTuple(network.get_submodule(name)), name, tuple(silenced), (shape, row.dtype)
    )


def _largest_that_trains(network: nn.Module) -> str:
    """The path of the largest module with the same parameters as the smallest that holds all that
    trains, so that a dropout in front of a last layer stays with it; "" for the whole network."""
    wanted = {id(p) for p in trainable_parameters(network)}
    held = {path: {id(p) for p in m.parameters()} for path, m in network.named_modules()}
    smallest = min((own for own in held.values() if wanted <= own), key=len)
    path: str = min((path for path, own in held.items() if own == smallest), key=len)
    return path


def _what_enters(network: nn.Module, name: str, example: Tensor) -> list[Tensor]:
    """The one tensor that the module is fed, if the network does nothing with it afterwards."""
    entered: list[tuple[object, ...]] = []
    left: list[object] = []
    other = twin(network).eval()
    last = other.get_submodule(name)
    # Cloned: the module may overwrite what it is given.
    last.register_forward_pre_hook(lambda _, inputs: entered.append(_cloned(inputs)))
    last.register_forward_hook(lambda _, inputs, output: left.append(output))
    with torch.no_grad(), watching_randomness():
        output = other(example)
    if len(entered) != 1 or left[0] is not output or len(entered[0]) != 1:
        return []
    return [value for value in entered[0] if isinstance(value, Tensor)]


def _cloned(values: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in values)


class _UpTo(nn.Module):
    """A network with its last module taken out; it shares all tensors and is in eval mode."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = twin(network).eval()
        self.network.set_submodule(name, nn.Identity())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)


class _FromTuple(nn.Module):
    """The last module, fed with a frontier of one tensor that it must not write to."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, frontier: tuple[Tensor]) -> Tensor:
        output: Tensor = self.module(frontier[0].clone())
        return output
