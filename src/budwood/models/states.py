"""The state of a network, its tensors by name: compared with another, and loaded whole or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from budwood.errors import WeightsError

State = dict[str, Tensor]
"""Tensors by name: what a network is but for its code."""

_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class StateDifference:
    """How the tensors of a file differ from those of a network."""

    missing: tuple[str, ...]
    """Names that only the network has."""
    unexpected: tuple[str, ...]
    """Names that only the file has."""
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Names of both with another shape: the file's and the network's."""

    @property
    def fits(self) -> bool:
        """Every tensor has its counterpart, of the same shape."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        counts = (
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, "
            f"{len(self.reshaped)} of another shape"
        )
        for name, (given, expected) in self.reshaped.items():
            return f"{counts}; first {name!r}: {list(given)} in the file, {list(expected)} here"
        for name in self.missing:
            return f"{counts}; first {name!r} is missing"
        for name in self.unexpected:
            return f"{counts}; first {name!r} is unexpected"
        return "no difference"


def compare_state(network: nn.Module, state: Mapping[str, Tensor]) -> StateDifference:
    """What stands between a state and a network, tensor by tensor."""
    own = network.state_dict()
    return StateDifference(
        missing=tuple(name for name in own if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        reshaped={
            name: (tuple(state[name].shape), tuple(tensor.shape))
            for name, tensor in own.items()
            if name in state and state[name].shape != tensor.shape
        },
    )


def load_state(
    network: nn.Module, state: Mapping[str, Tensor], *, file: Path | None = None
) -> None:
    """Copy a state into a network, if every tensor has its counterpart of the same shape."""
    require_fitting(network, state, file)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(state[name])


def require_fitting(network: nn.Module, state: Mapping[str, Tensor], file: Path | None) -> None:
    """Raise unless every tensor has its counterpart of the same shape."""
    if (comparison := compare_state(network, state)).fits:
        return
    raise WeightsError(
        f"{file or 'These weights'} do{'es' if file else ''} not fit "
        f"{type(network).__name__}: {comparison}.",
        expected=f"All {len(network.state_dict())} tensors must be there, of the same shape.",
        next="Check that the weights are of this architecture.",
        file=file,
    )


def with_counters(network: nn.Module, state: State) -> State:
    """The state, with zeros for the batch counters that files from before PyTorch 0.4.1 lack."""
    if any(is_counter(name) for name in state):
        return state
    return state | {
        name: torch.zeros_like(tensor, device="cpu")
        for name, tensor in network.state_dict().items()
        if is_counter(name) and f"{name.removesuffix(_COUNTER)}.running_mean" in state
    }


def is_counter(name: str) -> bool:
    """True for the name of a batch counter, which says nothing of a network's structure."""
    return name.endswith(_COUNTER)
