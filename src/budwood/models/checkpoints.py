"""Files of weights and what they hold: tensors, and the names of classes; no code is run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from budwood.capsule.format import NETWORK, about_in, capsule_file
from budwood.errors import BudwoodError, WeightsError
from budwood.images.preprocessing import Preprocessing
from budwood.models.pickled import START, damaged, kind_of, not_loaded, read_pickled
from budwood.models.states import State

_AVERAGED = ("state_dict_ema", "model_ema")
"""Where training scripts put the average of the weights over many steps, which they evaluate."""
_LAST = ("state_dict", "model")
"""Where they put those of the last step."""
_WRAPPERS = (*_AVERAGED, *_LAST)
_KEYS = ("classes", "class_names", "class_to_idx", "idx_to_class")
"""Where training scripts put them."""
_LINES, _INDICES = "classes.txt", "class_indices.json"
"""What they are called beside the weights."""
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
"""What DataParallel, Lightning, wrappers and torch.compile put before every name."""

_MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")

Names = tuple[str, ...]


@dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds."""

    file: Path
    state: State
    """Its tensors, without prefixes that all names share."""
    classes: Names | None = None
    """The names of its classes, where it tells them itself."""
    architecture: str | None = None
    """What a capsule is the state of: `torchvision/resnet50`."""
    preprocessing: Preprocessing | None = None
    """How photos were prepared for a capsule."""
    notes: tuple[str, ...] = ()
    """What else the user should know, a sentence or two each."""

    def known_classes(self) -> Names | None:
        """The names that the file tells, else those in a file beside it."""
        return self.classes or names_beside(self.file)


def read_checkpoint(path: Path) -> Checkpoint:
    """What a `.safetensors`, `.pth`, `.pt` or `.bin` file, a capsule or the folder of a run holds.

    Prefixes that all names share are taken off. Tensors of large files are mapped, not copied.
    """
    found = _read(capsule_file(path))
    return replace(found, state=_without_prefixes(found.state))


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


def names_within(checkpoint: Mapping[object, object]) -> Names | None:
    """The names of the classes in the order of the head's rows, if a checkpoint tells them."""
    found = (_names_in(checkpoint.get(key)) for key in _KEYS)
    return next((names for names in found if names), None)


def names_beside(file: Path) -> Names | None:
    """The names in `classes.txt`, one a line, or `class_indices.json` beside the weights."""
    lines, indices = file.with_name(_LINES), file.with_name(_INDICES)
    try:
        if lines.is_file():
            stripped = (line.strip() for line in lines.read_text("utf-8-sig").splitlines())
            return tuple(filter(None, stripped)) or None
        if not indices.is_file():
            return None
        names = _names_in(json.loads(indices.read_text("utf-8-sig")))
    except ValueError as error:
        raise _unreadable(lines if lines.is_file() else indices, str(error)) from None
    if names is None:
        raise _unreadable(indices, "it is no table of names and numbers")
    return names


def _names_in(value: object) -> Names | None:
    """The names in a list, `{"cat": 0}` or `{"0": "cat"}`; None if it is nothing of the kind."""
    if isinstance(value, Mapping):
        return _of_table(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value) if all(isinstance(name, str) for name in value) else None
    return None


def _of_table(table: Mapping[object, object]) -> Names | None:
    pairs = list(table.items())
    if all(isinstance(name, str) for _, name in pairs):
        pairs = [(name, number) for number, name in pairs]
    numbered = {str(number): name for name, number in pairs if isinstance(name, str)}
    names = tuple(numbered[str(i)] for i in range(len(numbered)) if str(i) in numbered)
    return names if len(names) == len(table) else None


def _unreadable(file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"The names of the classes in {file} cannot be read: {reason.splitlines()[0]}.",
        expected=f"It must be {'one name a line, or ' if file.name == _LINES else ''}JSON such as "
        '{"0": "daisy"} or {"daisy": 0}.',
        next="Mend it, or move it away from the weights.",
        file=file,
    )
