"""Files of weights and what they hold, read without running code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from budwood.capsule.format import NETWORK, about_in, capsule_file
from budwood.errors import BudwoodError, WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.networks.class_lists import names_beside, names_within
from budwood.networks.foreign_files import START, kind_of
from budwood.networks.pickled import damaged, not_loaded, read_pickled
from budwood.networks.states import State

_AVERAGED = ("state_dict_ema", "model_ema")
"""Where training scripts put the average of the weights over many steps, which they evaluate."""
_LAST = ("state_dict", "model")
"""Where they put those of the last step."""
_WRAPPERS = (*_AVERAGED, *_LAST)
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
"""What DataParallel, Lightning, wrappers and torch.compile put before every name."""

_MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds."""

    file: Path
    state: State
    """Its tensors, without prefixes that all names share."""
    classes: tuple[str, ...] | None = None
    """The names of its classes, where it tells them itself."""
    architecture: str | None = None
    """Of a capsule, what it is the state of: `torchvision/resnet50`."""
    preprocessing: Preprocessing | None = None
    """Of a capsule, how photos were prepared."""
    notes: tuple[str, ...] = ()
    """What else the user should know, a sentence or two each."""

    def known_classes(self) -> tuple[str, ...] | None:
        """The names that the file tells, else those in a file beside it.

        Raises:
            WeightsError: If there is a file with names that cannot be read.
        """
        return self.classes or names_beside(self.file)


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a file by name, with what else it tells; never runs its code.

    Besides what `read_state` reads: a capsule of `budwood train`, or the folder of a run with one
    in it, gives its network's tensors, its classes and its preprocessing.

    Raises:
        WeightsError: As `read_state`.
    """
    found = _read(capsule_file(path))
    return replace(found, state=_without_prefixes(found.state))


def read_state(path: Path) -> State:
    """The tensors of a `.safetensors`, `.pth`, `.pt` or `.bin` file by name; never runs its code.

    A state inside a training checkpoint is found, and a prefix that all names share through a
    wrapper (`module.`, `model.`, `net.`, `_orig_mod.`) is taken off. Tensors of large files are
    mapped from the disk, not copied.

    Raises:
        WeightsError: If there is no such file, it is damaged, of another format, holds no state,
            or is only opened by running what it names.
    """
    return read_checkpoint(path).state


def _read(path: Path) -> Checkpoint:
    if not path.is_file():
        raise WeightsError(
            f"There is no file of weights {path}.",
            next="Give the path of a .safetensors, .pth or .pt file.",
            file=path,
        )
    with path.open("rb") as file:
        start = file.read(START)
    if (kind := kind_of(path, start)) is not None:
        raise WeightsError(
            f"The file {path} holds no weights: it is {kind.what}.", next=kind.next, file=path
        )
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:2] == b"PK" or (start[:1] == b"\x80" and _MAGIC in start[:32]):
        return _unwrapped(read_pickled(path), path)
    if start[:1] == b"\x80":
        load = "pickle.load(open({file}, 'rb'))"
        raise not_loaded(path, "it is a pickle that torch.save() did not make", load)
    raise WeightsError(
        f"The file {path} is of no format that is known{'' if start else ': it is empty'}.",
        expected="It must be a .safetensors file or one made with torch.save().",
        file=path,
    )


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, "pt") as file:
            about = about_in(file.metadata() or {})
            # A capsule holds pictures, too, which are not read.
            part = "" if about is None else NETWORK
            names = [name for name in file.keys() if name.startswith(part)]  # noqa: SIM118
            state = {name.removeprefix(part): file.get_tensor(name) for name in names}
        if about is not None:
            return _capsule(path, state, about)
    except (SafetensorError, ValueError, LookupError, TypeError, BudwoodError) as error:
        raise damaged(path, error) from None
    return Checkpoint(path, _tensors(state, path))


def _capsule(path: Path, state: State, about: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        path,
        state,
        classes=tuple(about["classes"]),
        architecture=str(about["origin"]["architecture"]),
        preprocessing=Preprocessing.from_json(about["preprocessing"]),
    )


def _unwrapped(content: object, path: Path) -> Checkpoint:
    classes, notes = None, list[str]()
    while isinstance(content, Mapping):
        classes = classes or names_within(content)
        found = [key for key in _WRAPPERS if isinstance(content.get(key), Mapping)]
        if not found:
            break
        others = [key for key in found if key in _LAST]
        if found[0] in _AVERAGED and others:
            notes.append(
                f"The file holds averaged weights ({found[0]}) and those of the last step "
                f"({others[0]}): the averaged ones were taken."
            )
        content = content[found[0]]
    return Checkpoint(path, _tensors(content, path), classes, notes=tuple(notes))


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
        if value.is_meta or value.is_quantized or value.layout != torch.strided:
            raise WeightsError(
                f"The file {path} does not hold plain numbers: {name!r} is "
                f"{'empty' if value.is_meta else 'sparse or quantised'}.",
                expected="Every tensor must be dense, with its values.",
                next="Save the state dict of the network as it was trained.",
                file=path,
            )
    return {str(name): tensor for name, tensor in content.items()}


def _without_prefixes(state: State) -> State:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _without_prefixes({name.removeprefix(prefix): state[name] for name in state})
    return state
