"""The cut of a network whose outermost code cannot be traced: in front of its last module."""

import copy

import torch
from torch import Tensor, nn

from budwood.errors import CutError
from budwood.surgery.freezing import trainable_parameters


def split_at_last_module(
    network: nn.Module, example: Tensor, reason: str
) -> tuple[nn.Module, nn.Module, str]:
    """Trunk, graft and the graft's name, if all that trains is the module that runs last.

    Raises:
        CutError: If more than that module trains, or the network does more with its output.
    """
    name = _smallest_that_trains(network)
    module = network.get_submodule(name) if name else network
    calls: list[tuple[tuple[object, ...], object]] = []
    handle = module.register_forward_hook(lambda _, inputs, output: calls.append((inputs, output)))
    twin = copy.deepcopy(network).eval() if name == "" else network
    was_training = network.training
    try:
        with torch.no_grad():
            output = twin.eval()(example)
    finally:
        handle.remove()
        network.train(was_training)
    takes_one = len(calls) == 1 and len(calls[0][0]) == 1 and isinstance(calls[0][0][0], Tensor)
    if not name or not takes_one or calls[0][1] is not output:
        raise CutError(
            f"The network's code cannot be traced ({reason}), and what trains is not "
            "the one module that runs last.",
            next="Unfreeze only the head, or pass a network whose forward torch.fx can trace.",
        )
    return _UpTo(network, name), _FromTuple(module), name


def _smallest_that_trains(network: nn.Module) -> str:
    """The path of the smallest module with every trainable parameter in it; "" for all of it."""
    wanted = {id(p) for p in trainable_parameters(network)}
    holders = [
        path
        for path, module in network.named_modules()
        if wanted <= {id(p) for p in module.parameters()}
    ]
    deepest: str = max(holders, key=lambda path: len(path.split(".")) if path else 0)
    return deepest


class _UpTo(nn.Module):
    """A network with its last module taken out; it shares all tensors and is in eval mode."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        tensors = [*network.parameters(), *network.buffers()]
        self.network = copy.deepcopy(network, {id(t): t for t in tensors}).eval()
        self.network.set_submodule(name, nn.Identity())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.network(x),)


class _FromTuple(nn.Module):
    """The last module, fed with a frontier of one tensor."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, frontier: tuple[Tensor]) -> Tensor:
        output: Tensor = self.module(frontier[0].clone())
        return output
