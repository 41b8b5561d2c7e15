"""The receipt of loading weights: what became of every tensor, of the network and of the file."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from budwood.display import displayed

Status = Literal[
    "loaded", "renamed", "by name", "shape differs", "other classes", "missing", "unexpected"
]
"""`loaded` as it is, `renamed` from another name, `by name` row by row of a head, by the names of
the classes; `shape differs` and `other classes` (a head) are on both sides and were not loaded;
`missing` is only in the network, `unexpected` only in the file."""

Shape = tuple[int, ...]

_TAKEN = ("loaded", "renamed", "by name")
_SHOWN = 3
"""How many tensors of a kind a summary names."""


@displayed
@dataclass(frozen=True, kw_only=True)
class TensorReceipt:
    """What became of one tensor.

    Example:
        >>> print(TensorReceipt(name="fc.w", status="shape differs", shape=(5, 9), given=(7, 9)))
        fc.w [7, 9] in the file, [5, 9] here
    """

    name: str
    """Its name in the network; of an unexpected one, its name in the file."""
    status: Status
    source: str | None = None
    """Its name in the file, where that is another."""
    shape: Shape | None = None
    """In the network; None of an unexpected one."""
    given: Shape | None = None
    """In the file; None of a missing one."""
    rows: tuple[int, int] | None = None
    """How many rows of a head came from the file by name, and how many there are."""
    detail: str = ""
    """What else is to be said."""

    @property
    def is_taken(self) -> bool:
        """The network's values, or some rows of them, are now the file's."""
        return self.status in _TAKEN

    @property
    def is_whole(self) -> bool:
        """Taken, and with all rows."""
        return self.is_taken and (self.rows is None or self.rows[0] == self.rows[1])

    @property
    def note(self) -> str:
        """All of it but its name and status, in words."""
        if self.status == "shape differs":
            return f"{_text(self.given)} in the file, {_text(self.shape)} here"
        source = f"from {self.source}" if self.source else ""
        return "; ".join(filter(None, (source, self.detail)))

    def __str__(self) -> str:
        return f"{self.name} {self.note}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        shapes = {name: _listed(getattr(self, name)) for name in ("shape", "given", "rows")}
        return vars(self) | shapes


@displayed
@dataclass(frozen=True)
class Receipt:
    """What became of every tensor when weights were loaded; `str()` is a summary.

    Example:
        >>> lines = (
        ...     TensorReceipt(name="conv.weight", status="loaded", shape=(8, 3), given=(8, 3)),
        ...     TensorReceipt(name="fc.weight", status="shape differs", shape=(5, 8), given=(7, 8)),
        ... )
        >>> print(Receipt(lines, share=0.8437, file=Path("mine.pth")))
        mine.pth: loaded 1 of 2 tensors, 84.3 % of the parameters; 1 differs in shape: fc.weight \
[7, 8] in the file, [5, 8] here
        >>> print(Receipt(lines, share=0.8437).table())
        conv.weight  loaded
        fc.weight    shape differs  [7, 8] in the file, [5, 8] here
    """

    lines: tuple[TensorReceipt, ...]
    """One for each tensor of the network, in its order, then the unexpected ones of the file."""
    share: float
    """Share of the network's parameters whose values are the file's; 1 is all."""
    notes: tuple[str, ...] = ()
    """What else the user should know, a sentence or two each."""
    file: Path | None = None

    @property
    def is_full(self) -> bool:
        """Every tensor of the network was loaded with all its rows."""
        return all(line.is_whole for line in self.lines if line.status != "unexpected")

    def having(self, status: Status) -> tuple[TensorReceipt, ...]:
        """The lines of one status."""
        return tuple(line for line in self.lines if line.status == status)

    def counts(self) -> dict[Status, int]:
        """How many tensors there are of each status."""
        found = Counter(line.status for line in self.lines)
        return {status: found[status] for status in get_args(Status)}

    @property
    def summary(self) -> str:
        """One line: counts, the share, and the first tensors of each kind that was not loaded."""
        return self.described("loaded")

    def described(self, verb: str) -> str:
        """The summary of what was loaded, or would have been."""
        counts = self.counts()
        taken = sum(line.is_taken for line in self.lines)
        renamed = f" ({counts['renamed']} under other names)" if counts["renamed"] else ""
        parts = [
            f"{verb} {taken} of {len(self.lines) - counts['unexpected']} tensors{renamed}, "
            f"{percent(self.share)} of the parameters"
        ]
        for status, say, show in _SAID:
            if counts[status]:
                parts.append(f"{say(counts[status])}: {_first(self.having(status), show)}")
        return "; ".join(parts)

    def table(self) -> str:
        """Every tensor with its status and what there is to say of it, in columns."""
        rows = [(line.name, line.status, line.note) for line in self.lines]
        name, status = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
        return "\n".join(f"{row[0]:{name}}  {row[1]:{status}}  {row[2]}".rstrip() for row in rows)

    def __str__(self) -> str:
        named = f"{self.file.name}: {self.summary}" if self.file else self.summary
        return "\n".join((named, *self.notes))

    def to_json(self) -> dict[str, Any]:
        """The receipt as plain JSON values.

        Tensors that were loaded whole under their own name, most of them, are only counted.
        """
        told = (line for line in self.lines if line.status != "loaded")
        return {
            "file": None if self.file is None else str(self.file),
            "share": self.share,
            "is_full": self.is_full,
            "counts": {status.replace(" ", "_"): n for status, n in self.counts().items()},
            "tensors": [line.to_json() for line in told],
            "notes": list(self.notes),
        }


def percent(share: float) -> str:
    """A share in percent, rounded down, so that only all is 100."""
    return "100 %" if share == 1 else f"{math.floor(share * 1000) / 10:.1f} %"


_SAID: tuple[tuple[Status, Callable[[int], str], Callable[[TensorReceipt], str]], ...] = (
    ("by name", lambda n: f"{n} row by row", str),
    ("shape differs", lambda n: f"{n} differ{'s' if n == 1 else ''} in shape", str),
    ("other classes", lambda n: f"{n} of other classes", str),
    ("missing", lambda n: f"{n} missing", lambda line: line.name),
    ("unexpected", lambda n: f"{n} unexpected", lambda line: line.name),
)


def _first(lines: Sequence[TensorReceipt], show: Callable[[TensorReceipt], str]) -> str:
    more = len(lines) - _SHOWN
    return ", ".join(map(show, lines[:_SHOWN])) + (f" and {more} more" if more > 0 else "")


def _text(shape: Iterable[int] | None) -> str:
    return str(_listed(shape))


def _listed(values: Iterable[int] | None) -> list[int] | None:
    return None if values is None else list(values)
