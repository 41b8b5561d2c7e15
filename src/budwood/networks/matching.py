"""A file's tensors held against a network's, one by one; what fits can then be copied."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from budwood.networks.checkpoints import Checkpoint
from budwood.networks.head_rows import Heads
from budwood.networks.kinship import other_layers
from budwood.networks.layouts import Layout
from budwood.networks.receipts import Line, Receipt
from budwood.networks.states import State, is_counter, with_counters


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
    """Of the parameters that the file could have, how many it has: those of new heads set aside."""
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

    def _copy(self, line: Line, own: Tensor, given: Tensor) -> None:
        if line.status == "by name":
            rows, places = zip(*self.heads.pairs(), strict=True)
            own[list(places)] = given[list(rows)].to(own)
        else:
            own.copy_(given)


def match(network: nn.Module, checkpoint: Checkpoint, layout: Layout, heads: Heads) -> Matching:
    """Hold the tensors of a file against a network's.

    Args:
        network: Only read.
        checkpoint: The file.
        layout: Its tensors under the network's names.
        heads: What of the network classifies, and for which classes.
    """
    own = {n: tensor for n, tensor in network.state_dict().items() if isinstance(tensor, Tensor)}
    given = with_counters(network, layout.state)
    sources = _Sources(checkpoint.state)
    lines = [_line(name, tensor, given.get(name), heads, sources) for name, tensor in own.items()]
    lines = _with_tied(network, lines)
    extra = [name for name in given if name not in own]
    receipt = Receipt(
        lines=(*lines, *sources.unexpected({name: given[name] for name in extra}, given)),
        share=_share(network, lines),
        notes=(*checkpoint.notes, *layout.notes, *_notes(own, given, extra, heads)),
        file=checkpoint.file,
    )
    others, surplus = _others(lines, extra, heads)
    old = [line for line in lines if not (heads.are_new and heads.holds(line.name))]
    return Matching(checkpoint, receipt, own, given, heads, _share(network, old), others, surplus)


class _Sources:
    """What a file calls its tensors, whatever they are called now."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._names = {id(tensor): name for name, tensor in state.items()}

    def name(self, now: str, tensor: Tensor) -> str | None:
        """Its name in the file, if that is another; None for a tensor that was computed, too."""
        return None if self._state.get(now) is tensor else self._names.get(id(tensor))

    def unexpected(self, extra: State, given: State) -> Iterator[Line]:
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


def _line(name: str, own: Tensor, given: Tensor | None, heads: Heads, sources: _Sources) -> Line:
    if given is None:
        return Line(name=name, status="missing", shape=tuple(own.shape))
    source = sources.name(name, given)
    line = Line(
        name=name,
        status="loaded" if source is None else "renamed",
        source=source,
        shape=tuple(own.shape),
        given=tuple(given.shape),
        detail=sources.made_of(name, given),
    )
    if heads.is_named(name, own, given):
        return _head_line(line, heads)
    if line.shape != line.given:
        return replace(line, status="shape differs")
    if heads.are_new and heads.holds(name):
        return replace(line, status="other classes", detail="the head is new")
    return line


def _unexpected(name: str, tensor: Tensor) -> Line:
    return Line(name=name, status="unexpected", given=tuple(tensor.shape))


def _head_line(line: Line, heads: Heads) -> Line:
    if heads.own == heads.given:
        return line
    if not (pairs := heads.pairs()):
        return replace(line, status="other classes", detail=heads.differing())
    rows = len(pairs), len(heads.own or ())
    return replace(line, status="by name", rows=rows, detail=heads.said())


def _with_tied(network: nn.Module, lines: Sequence[Line]) -> list[Line]:
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


def _share(network: nn.Module, lines: Sequence[Line]) -> float:
    """The share of the parameters in these lines, each counted once, that are in the file."""
    by_name = {line.name: line for line in lines}
    sizes = {id(parameter): parameter.numel() for parameter in network.parameters()}
    whole = taken = 0
    for place, names in _names_of_parameters(network).items():
        shares = [_taken(by_name[name], sizes[place]) for name in names if name in by_name]
        if shares:
            whole, taken = whole + sizes[place], taken + max(shares)
    return taken / whole if whole else 0.0


def _taken(line: Line, size: int) -> int:
    if line.rows is not None:
        return size // line.rows[1] * line.rows[0]
    return size if line.is_taken else 0


def _names_of_parameters(network: nn.Module) -> dict[int, list[str]]:
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    return names


def _others(
    lines: Sequence[Line], extra: Sequence[str], heads: Heads
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
