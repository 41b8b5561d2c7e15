"""What an audit finds: photos, a reason in plain words, and what to do about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

from budwood.text import aligned, shown

Kind = Literal["broken", "duplicate", "leak", "label", "outlier", "burst", "imbalance"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Finding:
    """One thing worth a look.

    Example:
        >>> print(Finding("label", (Path("a.jpg"),), "It looks like roses (0.98).", "Look at it."))
        a.jpg: It looks like roses (0.98). Look at it.
    """

    kind: Kind
    photos: tuple[Path, ...]
    reason: str
    advice: str
    suggestion: str | None = None
    """The class that a photo may belong to instead."""
    subject: str = ""
    """What it is about where that is no photo: a class."""
    root: Path = Path()
    """The folder that is audited."""

    @property
    def id(self) -> str:
        """A name that stays the same as long as the photos and the kind do, wherever they lie."""
        names = [
            (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()
            for path in self.photos
        ]
        said = "\0".join([self.kind, self.subject, *names]).encode(errors="surrogateescape")
        return f"{self.kind}-{blake2b(said, digest_size=5).hexdigest()}"

    def to_json(self) -> dict[str, Any]:
        """As it stands in `findings` of `audit --json`."""
        return {
            "id": self.id,
            "kind": self.kind,
            "photos": [str(path) for path in self.photos],
            "reason": self.reason,
            "advice": self.advice,
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        names = ", ".join(shown(path.as_posix()) for path in self.photos[:4])
        more = len(self.photos) - 4
        about = names + (f" and {more} more" if more > 0 else "")
        return f"{about}: {self.reason} {self.advice}" if about else f"{self.reason} {self.advice}"


def in_order(findings: Iterable[Finding], root: Path = Path()) -> tuple[Finding, ...]:
    """Findings about photos below `root` by kind; within one, in the order given."""
    found = [replace(finding, root=root) for finding in findings]
    return tuple(sorted(found, key=lambda finding: KINDS.index(finding.kind)))


def counted(findings: Sequence[Finding]) -> str:
    """How many there are of each kind, as a table."""
    numbers = Counter(finding.kind for finding in findings)
    photos = Counter({k: sum(len(f.photos) for f in findings if f.kind == k) for k in numbers})
    rows = [(kind, str(numbers[kind]), str(photos[kind])) for kind in KINDS if numbers[kind]]
    return aligned([("kind", "findings", "photos"), *rows])
