"""A file's tensors held against a network's, and the rows of a head by their classes."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from budwood.data.labels import normalised
from budwood.errors import ConfigError
from budwood.models.catalog import list_models
from budwood.models.checkpoints import Checkpoint, Names
from budwood.models.heads import MLPHead, head_names
from budwood.models.key_layouts import Layout
from budwood.models.receipts import Receipt, TensorReceipt
from budwood.models.states import State, is_counter, with_counters

_FEW, _SHARE = 8, 0.2
"""A changed first layer or a cut last block differs in less; ResNet-152 and 101 in a third."""


@dataclass(frozen=True)
class Heads:
    """Which tensors of a network are its heads', and whose classes they and a file are for."""

    prefixes: tuple[str, ...]
    """What the names of the heads' tensors begin with."""
    rows: frozenset[str]
    """The tensors with a row for each class."""
    own: Names | None = None
    """The network's classes in order, where they are known."""
    given: Names | None = None
    """The file's."""
    are_new: bool = False
    """The heads were just made for other classes: only rows with a name are carried over."""

    def holds(self, name: str) -> bool:
        """True for a tensor of a head."""
        return name.startswith(self.prefixes)

    def is_named(self, name: str, own: Tensor, given: Tensor) -> bool:
        """True if each row of both tensors has a class with a name, and the rows are alike."""
        if name not in self.rows or self.own is None or self.given is None:
            return False
        counts = ((len(self.own),), (len(self.given),))
        return (own.shape[:1], given.shape[:1]) == counts and own.shape[1:] == given.shape[1:]

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The rows in the file and in the network of one class; a name given twice is none."""
        given, own = (
            [normalised(name) for name in names or ()] for names in (self.given, self.own)
        )
        times = Counter(given)
        places = {name: row for row, name in enumerate(given) if times[name] == 1}
        return tuple((places[name], row) for row, name in enumerate(own) if name in places)

    def carried_over(self, line: TensorReceipt) -> TensorReceipt:
        """The line of a tensor whose rows all have names, and what becomes of them."""
        own, given = self.own or (), self.given or ()
        if own == given:
            return line
        if not (pairs := self.pairs()):
            detail = f"the file's are {_listed(given)}; here {_listed(own)}"
            return replace(line, status="other classes", detail=detail)
        names = [own[row] for _, row in pairs]
        detail = f"{len(names)} of {len(own)} rows by name: {_listed(names)}"
        return replace(line, status="by name", rows=(len(names), len(own)), detail=detail)


@dataclass(frozen=True)
class Matching:
    """What of a file fits a network. Nothing is copied yet."""

    checkpoint: Checkpoint
    receipt: Receipt
    """What became of every tensor, once it is copied."""
    own: State
    """The network's tensors; they share its memory."""
    given: State
    """The file's tensors under the network's names."""
    heads: Heads
    share: float
    """The share of the parameters that the file has, those of new heads left out."""
    others: tuple[str, ...]
    """Tensors of the network whose counterparts in the file are of other layers, or lack."""
    surplus: tuple[str, ...]
    """Tensors of the file that are of more layers of a kind than the network has."""

    def copy(self) -> None:
        """Copy what fits into the network, converted to its types."""
        with torch.no_grad():
            for line in self.receipt.lines:
                if line.is_taken and line.name in self.given:
                    self._copy(line, self.own[line.name], self.given[line.name])

    def _copy(self, line: TensorReceipt, own: Tensor, given: Tensor) -> None:
        if line.status == "by name":
            rows, places = zip(*self.heads.pairs(), strict=True)
            own[list(places)] = given[list(rows)].to(own)
        else:
            own.copy_(given)


def match(network: nn.Module, checkpoint: Checkpoint, layout: Layout, heads: Heads) -> Matching:
    """Hold the tensors of a file, which are called as in `layout`, against a network's."""
    own = {n: tensor for n, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    given = with_counters(network, layout.state)
    names = _FileNames(checkpoint.state)
    lines = [_line(name, tensor, given.get(name), heads, names) for name, tensor in own.items()]
    lines = _with_tied(network, lines)
    extra = [name for name in given if name not in own]
    receipt = Receipt(
        lines=(*lines, *names.unexpected({name: given[name] for name in extra}, given)),
        share=_share(network, lines),
        notes=(*checkpoint.notes, *layout.notes, *_notes(own, given, extra, heads)),
        file=checkpoint.file,
    )
    others, surplus = _others(lines, extra, heads)
    old = [line for line in lines if not (heads.are_new and heads.holds(line.name))]
    return Matching(checkpoint, receipt, own, given, heads, _share(network, old), others, surplus)


class _FileNames:
    """What a file calls its tensors, whatever they are called now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._names = {id(tensor): name for name, tensor in state.items()}

    def name(self, now: str, tensor: Tensor) -> str | None:
        """Its name in the file, if that is another; None for a tensor that was computed, too."""
        return None if self._state.get(now) is tensor else self._names.get(id(tensor))

    def unexpected(self, extra: State, given: State) -> Iterator[TensorReceipt]:
        """The lines of what the network lacks, and of what a converter left out.

        Where it computed new tensors, what is gone may be in those, and is not listed.
        """
        for name, tensor in extra.items():
            yield _unexpected(self.name(name, tensor) or name, tensor)
        used = {id(tensor) for name, tensor in given.items() if not is_counter(name)}
        if used <= self._names.keys():
            for name, tensor in self._state.items():
                if id(tensor) not in used and not is_counter(name):
                    yield _unexpected(name, tensor)

    def made_of(self, now: str, tensor: Tensor) -> str:
        """Says so, if a tensor is not in the file as it is."""
        if id(tensor) in self._names:
            return ""
        return "not in the file, counts from 0" if is_counter(now) else "converted"


def _line(
    name: str, own: Tensor, given: Tensor | None, heads: Heads, names: _FileNames
) -> TensorReceipt:
    if given is None:
        return TensorReceipt(name=name, status="missing", shape=tuple(own.shape))
    source = names.name(name, given)
    line = TensorReceipt(
        name=name,
        status="loaded" if source is None else "renamed",
        source=source,
        shape=tuple(own.shape),
        given=tuple(given.shape),
        detail=names.made_of(name, given),
    )
    if heads.is_named(name, own, given):
        return heads.carried_over(line)
    if line.shape != line.given:
        return replace(line, status="shape differs")
    if heads.are_new and heads.holds(name):
        return replace(line, status="other classes", detail="the head is new")
    return line


def _unexpected(name: str, tensor: Tensor) -> TensorReceipt:
    return TensorReceipt(name=name, status="unexpected", given=tuple(tensor.shape))


def _with_tied(network: nn.Module, lines: Sequence[TensorReceipt]) -> list[TensorReceipt]:
    """The lines, where one tensor has several names and the file has it under one of them."""
    taken = {line.name for line in lines if line.is_taken}
    twins: dict[str, str] = {}
    for names in _names_of_parameters(network).values():
        there = next((name for name in names if name in taken), None)
        twins |= {name: there for name in names if there is not None}
    return [
        replace(line, status="loaded", detail=f"one tensor with {twins[line.name]}")
        if line.status == "missing" and line.name in twins
        else line
        for line in lines
    ]


def _share(network: nn.Module, lines: Sequence[TensorReceipt]) -> float:
    """The share of the parameters in these lines, each counted once, that are in the file."""
    by_name = {line.name: line for line in lines}
    whole = taken = 0
    for parameter, names in _names_of_parameters(network).items():
        size = parameter.numel()
        shares = [_taken(by_name[name], size) for name in names if name in by_name]
        if shares:
            whole, taken = whole + size, taken + max(shares)
    return taken / whole if whole else 0.0


def _taken(line: TensorReceipt, size: int) -> int:
    if line.rows is not None:
        return size // line.rows[1] * line.rows[0]
    return size if line.is_taken else 0


def _names_of_parameters(network: nn.Module) -> dict[nn.Parameter, list[str]]:
    names: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names[parameter].append(name)
    return names


def _others(
    lines: Sequence[TensorReceipt], extra: Sequence[str], heads: Heads
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The network's tensors, and the file's, that tell of other layers; not those of heads."""
    body = [line for line in lines if not heads.holds(line.name)]
    taken = {line.name for line in body if line.is_taken}
    reshaped = [line.name for line in body if line.status == "shape differs"]
    missing = [line.name for line in body if line.status == "missing"]
    surplus = [name for name in extra if not heads.holds(name)]
    return other_layers(taken, reshaped, missing), other_layers(taken, (), surplus)


def _notes(own: State, given: State, extra: Sequence[str], heads: Heads) -> Iterator[str]:
    tops = dict.fromkeys(name.split(".")[0] for name in extra)
    mine = {name.split(".")[0] for name in own}
    aux = [top for top in tops if top.lower().startswith("aux") and top not in mine]
    if aux:
        yield (
            f"The file's auxiliary heads ({', '.join(aux)}) are left out: this network has none."
        )
    rows = {len(given[name]) for name in heads.rows if name in given and given[name].ndim}
    if heads.own is None or not rows:
        return
    if heads.given is None and not heads.are_new:
        if any(name in given and given[name].shape == own[name].shape for name in heads.rows):
            yield "The file does not name its classes: the rows of the head are taken in order."
    elif heads.given is not None and len(heads.given) not in rows:
        yield (
            f"The names of {len(heads.given)} classes do not belong to a head of "
            f"{min(rows)} rows: no row is carried over by name."
        )


def heads_of(network: nn.Module) -> Heads:
    """The heads of a network, auxiliary ones too; none where none is recognised."""
    try:
        paths = head_names(network)
    except ConfigError:
        return Heads((), frozenset())
    heads = {path: network.get_submodule(path) for path in paths}
    last = [
        f"{path}.{len(head) - 1}" if isinstance(head, MLPHead) else path
        for path, head in heads.items()
    ]
    rows = frozenset(f"{path}.{kind}" for path in last for kind in ("weight", "bias"))
    return Heads(tuple(f"{path}." for path in paths), rows)


def _listed(names: list[str] | Names) -> str:
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


def other_layers(
    taken: Collection[str], reshaped: Iterable[str], lacking: Iterable[str]
) -> tuple[str, ...]:
    """The tensors that tell of other layers: of another shape, or one more or less of a kind.

    Tensors are of a kind if their names differ by numbers only, as in the blocks of a stage.
    """
    kinds = {_kind(name) for name in taken}
    return (*reshaped, *(name for name in lacking if _kind(name) in kinds))


def are_strangers(taken: int, others: int) -> bool:
    """True if so many tensors tell of other layers that the networks cannot be the same."""
    return others >= _FEW and others > _SHARE * (taken + others)


def namesakes(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Up to three architectures with as many parameters as a file.

    The head is counted as for 1000 classes, auxiliary heads are not counted.
    """
    buffers = (".running_mean", ".running_var", ".num_batches_tracked")
    sizes = {
        name: tensor.numel()
        for name, tensor in state.items()
        if not (name.lower().startswith("aux") or name.endswith(buffers))
    }
    total = sum(sizes.values())
    heads = [name for name in sizes if name.endswith(".weight") and state[name].ndim == 2]
    possible = {total}
    if heads:
        rows, width = state[heads[-1]].shape
        has_bias = f"{heads[-1].removesuffix('weight')}bias" in sizes
        possible.add(total + (1000 - rows) * (width + has_bias))
    found = [each.name for each in list_models() if each.parameters in possible]
    return tuple(sorted(found, key=lambda name: ("/" in name, len(name), name))[:3])


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)
