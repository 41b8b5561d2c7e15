"""An audit of labelled photos: what is broken, double, leaking, mislabelled, strange or lopsided.

Nothing is changed. What is known of the photos comes in (`Audited`), findings go out; where each
comes from is in the file of that name (`likeness.py`, `moments.py`, `suspects.py`).

What an audit finds: photos, a reason in plain words, and what to do about it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from budwood.data.deep_images import Extent
from budwood.data.duplicates import CaptureTime, bursts
from budwood.data.near_duplicates import SimilarPair, alike, equal_files, groups, members, spread
from budwood.evaluation.label_errors import Suspect, neighbours, suspects
from budwood.evaluation.ood import outliers
from budwood.text import aligned, count, shown

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
            "images": [str(path) for path in self.photos],
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


TINY = 64
"""Pixels; a photo whose shorter side has fewer shows little."""
ODD = 5.0
"""A photo that is so many times as long as wide, or more, loses most in the crop."""
BLANK = 4.0
"""Grey levels; a photo that varies less shows nothing."""
LOPSIDED = 10.0
"""A class with so many times the photos of another."""
FEW = 10
"""Photos; a class with fewer can hardly be learned or judged."""


@dataclass(frozen=True)
class AuditedImages:
    """What is known of the photos, each in one row of everything."""

    root: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    parts: tuple[str, ...]
    """The split that each photo is in: train, val or test."""
    digests: tuple[bytes, ...]
    sizes: tuple[tuple[int, int], ...]
    """Height and width as stored."""
    small: NDArray[np.uint8]
    """`n 64 64`, small grey copies."""
    moments: tuple[CaptureTime | None, ...]
    features: NDArray[np.floating]
    """`n d`."""
    unreadable: dict[Path, str]
    """Photos that cannot be read, which have no row, with the reason."""
    given_groups: tuple[int | None, ...] = ()
    """The group that the user gave each photo; nothing where there is none."""
    extents: Mapping[Path, Extent] = field(default_factory=dict)
    """Of photos of more than 8 bits, what their values span."""


@dataclass(frozen=True)
class NearDuplicates:
    """Photos that belong together."""

    pairs: tuple[SimilarPair, ...]
    bursts: tuple[tuple[int, ...], ...]
    groups: tuple[int, ...]
    """A group for each photo: photos of a pair, of a burst, or of a group that the user gave are in
    one."""
    left_out: int = 0
    """Pairs with like hashes that were too many to be compared."""


def likenesses(audited: AuditedImages) -> NearDuplicates:
    """Which photos show the same picture or moment."""
    exact = equal_files(audited.digests)
    known = {(pair.first, pair.second) for pair in exact}
    near = alike(audited.small, neighbours(audited.features))
    pairs = [*exact, *(p for p in near.pairs if (p.first, p.second) not in known)]
    runs = bursts(audited.moments)
    linked = [(p.first, p.second) for p in pairs]
    linked += [(run[0], other) for run in runs for other in run[1:]]
    first: dict[int, int] = {}
    given = enumerate(audited.given_groups)
    linked += [(first.setdefault(group, i), i) for i, group in given if group is not None]
    of = groups(len(audited.paths), linked)
    return NearDuplicates(tuple(pairs), tuple(map(tuple, runs)), tuple(of), near.left_out)


def findings(
    audited: AuditedImages, alikes: NearDuplicates, probabilities: NDArray[np.floating] | None
) -> tuple[Finding, ...]:
    """Everything worth a look.

    Args:
        audited: The photos.
        alikes: Which of them belong together.
        probabilities: `n k`, of each photo by a classifier that has seen neither it nor any photo
            of its group; None if there is no such classifier: then labels are not judged.
    """
    about = _About(audited)
    exact_of = {(p.first, p.second) for p in alikes.pairs if p.is_exact}
    in_pairs = groups(len(audited.paths), [(p.first, p.second) for p in alikes.pairs])
    return in_order(
        [
            *_unreadable(audited),
            *_poor(audited),
            *(about.alike(photos, exact_of) for photos in members(in_pairs)),
            *about.bursts(alikes.bursts),
            *about.labels([] if probabilities is None else suspects(probabilities, audited.labels)),
            *about.outliers(
                outliers(audited.features, audited.labels, np.array(alikes.groups, np.int64))
            ),
            *_imbalance(audited),
        ],
        audited.root,
    )


def leaked(audited: AuditedImages, of: Sequence[int]) -> NDArray[np.bool_]:
    """Which photos belong together with one of another split that is trained on."""
    trained = {group for group, part in zip(of, audited.parts, strict=True) if part == "train"}
    return np.array(
        [
            part != "train" and group in trained
            for group, part in zip(of, audited.parts, strict=True)
        ]
    )


class _About:
    """Findings about photos of one audit, in words."""

    def __init__(self, audited: AuditedImages) -> None:
        self._audited = audited

    def alike(self, photos: Sequence[int], exact: set[tuple[int, int]]) -> Finding:
        """Photos of one picture: a leak across splits, a label conflict across classes."""
        parts = sorted({self._audited.parts[i] for i in photos})
        labels = sorted({self._label(i) for i in photos})
        are_equal = all((photos[0], other) in exact for other in photos[1:])
        what = "The same file" if are_equal else "The same picture"
        paths = tuple(self._audited.paths[i] for i in photos)
        labelled = f"labelled {' and '.join(labels)}"
        if len(parts) > 1:
            where = f"{what} is in {' and '.join(parts)}"
            if len(labels) > 1:
                advice = "Keep it once, with the right label."
                return Finding("leak", paths, f"{where}, {labelled}.", advice)
            reason = f"{where}: the model is judged on what it was taught."
            return Finding("leak", paths, reason, "Remove it from one of them.")
        if len(labels) > 1:
            advice = "Keep the right one and remove the other."
            return Finding("duplicate", paths, f"{what} is {labelled}.", advice)
        return Finding("duplicate", paths, f"{what} is there {len(photos)} times.", "Keep one.")

    def bursts(self, runs: Iterable[Sequence[int]]) -> Iterator[Finding]:
        for run in runs:
            parts = sorted({self._audited.parts[i] for i in run})
            paths = tuple(self._audited.paths[i] for i in run)
            said = f"{count(len(run), 'photo')} were taken within seconds of each other"
            if len(parts) > 1:
                advice = "Put them on one side: give them one group in a CSV list."
                yield Finding("leak", paths, f"{said} and lie in {' and '.join(parts)}.", advice)
            else:
                yield Finding(
                    "burst", paths, f"{said}.", "They count for little more than one; no harm done."
                )

    def labels(self, found: Iterable[Suspect]) -> Iterator[Finding]:
        for suspect in found:
            better = self._audited.classes[suspect.suggestion]
            yield Finding(
                "label",
                (self._audited.paths[suspect.photo],),
                f"It is labelled {self._label(suspect.photo)} and looks like {better} "
                f"({suspect.probability:.2f} against {suspect.label_probability:.2f}).",
                f"If that is right, move it to {better}.",
                better,
            )

    def outliers(self, found: Iterable[tuple[int, float]]) -> Iterator[Finding]:
        for photo, _ in found:
            yield Finding(
                "outlier",
                (self._audited.paths[photo],),
                "It is unlike all other photos.",
                "Check that it belongs here.",
            )

    def _label(self, photo: int) -> str:
        return self._audited.classes[int(self._audited.labels[photo])]


def _unreadable(audited: AuditedImages) -> Iterator[Finding]:
    for path, reason in audited.unreadable.items():
        said = reason.partition(" Copy")[0]
        yield Finding("broken", (path,), said, "Copy it again, or remove it.")


def _poor(audited: AuditedImages) -> Iterator[Finding]:
    """Photos that can be read and show little."""
    varies = spread(audited.small)
    for path, (height, width), levels in zip(audited.paths, audited.sizes, varies, strict=True):
        short, long = sorted((height, width))
        deep = audited.extents.get(path)  # dark as it may be beside the others, it may be sound
        if levels < BLANK and (deep is None or deep.is_flat):
            yield Finding("broken", (path,), "It is blank.", "Remove it.")
        elif short < TINY:
            reason = f"It has only {width} x {height} pixels."
            yield Finding("broken", (path,), reason, "Use a larger copy if there is one.")
        elif long >= ODD * short:
            reason = f"Its shape is odd: {width} x {height} pixels."
            yield Finding("broken", (path,), reason, "Crop it to what it shows.")


def _imbalance(audited: AuditedImages) -> Iterator[Finding]:
    is_trained = np.array([part == "train" for part in audited.parts], bool)
    numbers = np.bincount(audited.labels[is_trained], minlength=len(audited.classes))
    most = int(numbers.max())
    for name, number in zip(audited.classes, numbers.tolist(), strict=True):
        if number < FEW:
            reason = f"Class {name!r} has only {count(number, 'training photo')}."
            advice = "Add some, or join it with another class."
            yield Finding("imbalance", (), reason, advice, subject=name)
        elif most >= LOPSIDED * number:
            reason = f"Class {name!r} has {number} training photos, the largest has {most}."
            advice = "Look at balanced accuracy, or add photos of it."
            yield Finding("imbalance", (), reason, advice, subject=name)
