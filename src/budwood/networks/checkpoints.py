"""Files of weights: read without running code, compared with a network, loaded whole or not."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from budwood.errors import WeightsError

State = dict[str, Tensor]
"""Tensors by name: what a network is but for its code."""

_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training scripts put the state; the average that they evaluate comes first."""
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
"""What DataParallel, Lightning, wrappers and torch.compile put before every name."""

_MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
_COUNTER = ".num_batches_tracked"


def read_state(path: Path) -> State:
    """The tensors of a `.safetensors`, `.pth`, `.pt` or `.bin` file by name; never runs its code.

    A state inside a training checkpoint is found, and a prefix that all names share through a
    wrapper (`module.`, `model.`, `net.`, `_orig_mod.`) is taken off. Tensors of large files are
    mapped from the disk, not copied.

    Raises:
        WeightsError: If there is no such file, it is damaged, of another format, holds no state,
            or would run code when loaded.
    """
    if not path.is_file():
        raise WeightsError(
            f"There is no file of weights {path}.",
            next="Give the path of a .safetensors, .pth or .pt file.",
            file=path,
        )
    with path.open("rb") as file:
        start = file.read(32)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        content: object = _read_safetensors(path)
    elif start[:2] == b"PK" or (start[:1] == b"\x80" and _MAGIC in start):
        content = _read_pickled(path)
    elif start[:1] == b"\x80":
        raise _would_run(path, "it is a pickle that torch.save() did not make")
    else:
        raise WeightsError(
            f"The file {path} is of no format that is known{'' if start else ': it is empty'}.",
            expected="It must be a .safetensors file or one made with torch.save().",
            file=path,
        )
    return _without_prefixes(_tensors(_unwrapped(content), path))


@dataclass(frozen=True)
class Comparison:
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


def compare_state(network: nn.Module, state: Mapping[str, Tensor]) -> Comparison:
    """What stands between a state and a network, tensor by tensor."""
    own = network.state_dict()
    return Comparison(
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
    """Copy a state into a network, if every tensor has its counterpart of the same shape.

    Args:
        file: Where the state is from, for the error to name.

    Raises:
        WeightsError: If one has not; the network is as it was.
    """
    if not (comparison := compare_state(network, state)).fits:
        raise WeightsError(
            f"{file or 'These weights'} do{'es' if file else ''} not fit "
            f"{type(network).__name__}: {comparison}.",
            expected=f"All {len(network.state_dict())} tensors must be there, of the same shape.",
            next="Check that the weights are of this architecture.",
            file=file,
        )
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(state[name])


def with_counters(network: nn.Module, state: State) -> State:
    """The state, with the batch counters that files from before PyTorch 0.4.1 do not have."""
    if any(name.endswith(_COUNTER) for name in state):
        return state
    return state | {
        name: torch.zeros_like(tensor, device="cpu")
        for name, tensor in network.state_dict().items()
        if name.endswith(_COUNTER)
    }


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from None


def _read_pickled(path: Path) -> object:
    zipped = zipfile.is_zipfile(path)
    if zipped and _is_torchscript(path):
        raise _would_run(path, "it is a TorchScript program")
    try:
        # argparse.Namespace: plain values, which many training scripts save beside the state.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|class|function|type) ([\w.]+\.[\w.]+)", str(error))
        if named is None:
            raise _damaged(path, error) from None
        raise _would_run(path, f"it names {named[1]}") from None
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, OSError) as error:
        raise _damaged(path, error) from None


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _would_run(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The file {path} would run code when loaded: {reason}.",
        expected="A file of weights holds tensors only, not a whole network.",
        next="Ask for .safetensors or a plain state dict, as torch.save(network.state_dict(), "
        "...) makes it.",
        file=path,
    )


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return WeightsError(
        f"The file {path} is damaged, cut short or holds no weights: {reason}",
        next="Download or copy it again.",
        file=path,
    )


def _unwrapped(content: object) -> object:
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return _unwrapped(content[key])
    return content


def _tensors(content: object, path: Path) -> State:
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"The file {path} holds {'nothing' if content == {} else type(content).__name__}.",
            expected="It must hold a state dict: tensors by name.",
            file=path,
        )
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"The file {path} holds no state dict: {name!r} is {type(value).__name__}.",
                expected=f"Tensors by name, also inside one of {', '.join(_WRAPPERS)}.",
                file=path,
            )
    return {str(name): tensor for name, tensor in content.items()}


def _without_prefixes(state: State) -> State:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _without_prefixes({name.removeprefix(prefix): state[name] for name in state})
    return state
