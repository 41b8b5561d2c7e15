"""An audit of labelled photos: findings, each with a reason in plain words and what to do about it.

Nothing is changed. What is known of the photos comes in as `AuditedImages`; near duplicates,
bursts, wrong labels and outliers come from the files that are imported here. What a leak between
the splits is worth is measured by a linear head with and without it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.data.deep_images import Extent
from budwood.data.duplicates import CaptureTime, bursts
from budwood.data.near_duplicates import SimilarPair, alike, equal_files, groups, members, spread
from budwood.evaluation.label_errors import Suspect, neighbours, suspects
from budwood.evaluation.ood import outliers
from budwood.intervals import accuracy_interval, difference_interval
from budwood.learning.probe import Probe, fit_probe
from budwood.text import aligned, count, shown

Kind = Literal[
    "unreadable", "uninformative", "duplicate", "leak", "label", "outlier", "burst", "imbalance"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Finding:
    """One thing worth a look.

    Example:
        >>> print(Finding("label", (Path("a.jpg"),), "It looks like roses (0.98).", "Look at it."))
        a.jpg: It looks like roses (0.98). Look at it.
    """

    kind: Kind
    images: tuple[Path, ...]
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
            for path in self.images
        ]
        said = "\0".join([self.kind, self.subject, *names]).encode(errors="surrogateescape")
        return f"{self.kind}-{blake2b(said, digest_size=5).hexdigest()}"

    def to_json(self) -> dict[str, Any]:
        """As it stands in `findings` of `audit --json`."""
        return {
            "id": self.id,
            "kind": self.kind,
            "images": [str(path) for path in self.images],
            "reason": self.reason,
            "advice": self.advice,
            "suggestion": self.suggestion,
        }

    def __str__(self) -> str:
        names = ", ".join(shown(path.as_posix()) for path in self.images[:4])
        more = len(self.images) - 4
        about = names + (f" and {more} more" if more > 0 else "")
        return f"{about}: {self.reason} {self.advice}" if about else f"{self.reason} {self.advice}"


def in_order(findings: Iterable[Finding], root: Path = Path()) -> tuple[Finding, ...]:
    """Findings about photos below `root` by kind; within one, in the order given."""
    found = [replace(finding, root=root) for finding in findings]
    return tuple(sorted(found, key=lambda finding: KINDS.index(finding.kind)))


def counted(findings: Sequence[Finding]) -> str:
    """How many there are of each kind, as a table."""
    numbers = Counter(finding.kind for finding in findings)
    images = Counter({k: sum(len(f.images) for f in findings if f.kind == k) for k in numbers})
    rows = [(kind, str(numbers[kind]), str(images[kind])) for kind in KINDS if numbers[kind]]
    return aligned([("kind", "findings", "photos"), *rows])


TINY = 64
"""Pixels; a photo whose shorter side has fewer shows little."""
ODD = 5.0
"""A photo that is so many times as long as wide, or more, loses most in the crop."""
BLANK = 4.0
"""Grey levels; a photo that varies less shows nothing."""
IMBALANCED = 10.0
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
    """The span of values of photos of more than 8 bits."""


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


def near_duplicates_of(audited: AuditedImages) -> NearDuplicates:
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

    Probabilities `n k` are those of a classifier that has seen neither the photo nor any of its
    group; without them labels are not judged.
    """
    about = _About(audited)
    exact_of = {(p.first, p.second) for p in alikes.pairs if p.is_exact}
    in_pairs = groups(len(audited.paths), [(p.first, p.second) for p in alikes.pairs])
    doubted = [] if probabilities is None else suspects(probabilities, audited.labels)
    odd = outliers(audited.features, audited.labels, np.array(alikes.groups, np.int64))
    return in_order(
        [
            *_unreadable(audited),
            *_poor(audited),
            *(about.alike(images, exact_of) for images in members(in_pairs)),
            *map(about.burst, alikes.bursts),
            *map(about.label, doubted),
            *(about.outlier(image) for image, _ in odd),
            *_imbalance(audited),
        ],
        audited.root,
    )


def leaked(audited: AuditedImages, of: Sequence[int]) -> NDArray[np.bool_]:
    """Which photos belong together with one of another split that is trained on."""
    known = list(zip(of, audited.parts, strict=True))
    trained = {group for group, part in known if part == "train"}
    return np.array([part != "train" and group in trained for group, part in known])


class _About:
    """Findings about photos of one audit, in words."""

    def __init__(self, audited: AuditedImages) -> None:
        self._audited = audited

    def alike(self, images: Sequence[int], exact: set[tuple[int, int]]) -> Finding:
        """Photos of one picture: a leak across splits, a label conflict across classes."""
        labels = sorted({self._label(i) for i in images})
        are_equal = all((images[0], other) in exact for other in images[1:])
        what = "The same file" if are_equal else "The same picture"
        labelled = f"labelled {' and '.join(labels)}"
        if splits := self._splits(images):
            where = f"{what} is in {splits}"
            if len(labels) > 1:
                advice = "Keep it once, with the right label."
                return self._finding("leak", images, f"{where}, {labelled}.", advice)
            reason = f"{where}: the model is judged on what it was taught."
            return self._finding("leak", images, reason, "Remove it from one of them.")
        if len(labels) > 1:
            advice = "Keep the right one and remove the other."
            return self._finding("duplicate", images, f"{what} is {labelled}.", advice)
        reason = f"{what} is there {len(images)} times."
        return self._finding("duplicate", images, reason, "Keep one.")

    def burst(self, images: Sequence[int]) -> Finding:
        said = f"{count(len(images), 'photo')} were taken within seconds of each other"
        if splits := self._splits(images):
            advice = "Put them on one side: give them one group in a CSV list."
            return self._finding("leak", images, f"{said} and lie in {splits}.", advice)
        advice = "They count for little more than one; no harm done."
        return self._finding("burst", images, f"{said}.", advice)

    def label(self, suspect: Suspect) -> Finding:
        better = self._audited.classes[suspect.suggestion]
        reason = (
            f"It is labelled {self._label(suspect.image)} and looks like {better} "
            f"({suspect.probability:.2f} against {suspect.label_probability:.2f})."
        )
        advice = f"If that is right, move it to {better}."
        return replace(self._finding("label", [suspect.image], reason, advice), suggestion=better)

    def outlier(self, image: int) -> Finding:
        reason, advice = "It is unlike all other photos.", "Check that it belongs here."
        return self._finding("outlier", [image], reason, advice)

    def _finding(self, kind: Kind, images: Sequence[int], reason: str, advice: str) -> Finding:
        return Finding(kind, tuple(self._audited.paths[i] for i in images), reason, advice)

    def _label(self, image: int) -> str:
        return self._audited.classes[int(self._audited.labels[image])]

    def _splits(self, images: Sequence[int]) -> str:
        """The splits that photos are in; empty if it is one."""
        parts = sorted({self._audited.parts[i] for i in images})
        return " and ".join(parts) if len(parts) > 1 else ""


def _unreadable(audited: AuditedImages) -> Iterator[Finding]:
    for path, reason in audited.unreadable.items():
        said = reason.partition(" Copy")[0]
        yield Finding("unreadable", (path,), said, "Copy it again, or remove it.")


def _poor(audited: AuditedImages) -> Iterator[Finding]:
    """Photos that can be read and show little."""
    varies = spread(audited.small)
    for path, (height, width), levels in zip(audited.paths, audited.sizes, varies, strict=True):
        short, long = sorted((height, width))
        deep = audited.extents.get(path)  # dark as it may be beside the others, it may be sound
        if levels < BLANK and (deep is None or deep.is_flat):
            yield Finding("uninformative", (path,), "It is blank.", "Remove it.")
        elif short < TINY:
            reason = f"It has only {width} x {height} pixels."
            yield Finding("uninformative", (path,), reason, "Use a larger copy if there is one.")
        elif long >= ODD * short:
            reason = f"Its shape is odd: {width} x {height} pixels."
            yield Finding("uninformative", (path,), reason, "Crop it to what it shows.")


def _imbalance(audited: AuditedImages) -> Iterator[Finding]:
    is_trained = np.array([part == "train" for part in audited.parts], bool)
    numbers = np.bincount(audited.labels[is_trained], minlength=len(audited.classes))
    most = int(numbers.max())
    for name, number in zip(audited.classes, numbers.tolist(), strict=True):
        if number < FEW:
            reason = f"Class {name!r} has only {count(number, 'training photo')}."
            advice = "Add some, or join it with another class."
            yield Finding("imbalance", (), reason, advice, subject=name)
        elif most >= IMBALANCED * number:
            reason = f"Class {name!r} has {number} training photos, the largest has {most}."
            advice = "Look at balanced accuracy, or add photos of it."
            yield Finding("imbalance", (), reason, advice, subject=name)


@dataclass(frozen=True)
class Leak:
    """What it is worth that photos of the test split, or their likes, were trained on.

    Both heads are judged on the same photos: all test photos. One learns from all training photos,
    the other from those that do not belong together with a test photo.
    """

    images: int
    """Test photos that belong together with a training photo."""
    top1: float
    """Accuracy on all test photos, with the leak."""
    interval: tuple[float, float]
    top1_without: float | None
    """The same, without the photos that leak in training; None if too few are left to learn
    from."""
    interval_without: tuple[float, float] | None
    difference: float | None
    """By how much the leak raises the figure."""
    difference_interval: tuple[float, float] | None
    """The 95 % interval of that."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in `audit --json`."""
        return {
            "images": self.images,
            "top1": self.top1,
            "interval": list(self.interval),
            "top1_without": self.top1_without,
            "interval_without": self.interval_without and list(self.interval_without),
            "difference": self.difference,
            "difference_interval": self.difference_interval and list(self.difference_interval),
        }

    def __str__(self) -> str:
        are = "is" if self.images == 1 else "are"
        known = f"{count(self.images, 'test photo')} {are} known from training"
        if self.difference is None or self.difference_interval is None:
            return f"{known}: without what leaks, too few photos are left to learn from."
        low, high = (100 * end for end in self.difference_interval)
        return (
            f"{known}: on the same test photos, top-1 of a linear head is {self.top1:.3f} with "
            f"what leaks in its training and {self.top1_without:.3f} without (difference "
            f"{100 * self.difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f})."
        )


def leak_of(audited: AuditedImages, groups: NDArray[np.integer], seed: int = 0) -> Leak | None:
    """What a leak is worth.

    None without a test split, or if fewer than two classes have training photos.
    """
    parts = np.array(audited.parts)
    train, test = parts == "train", parts == "test"
    if not test.any() or len(np.unique(audited.labels[train])) < 2:
        return None
    own = groups[test]
    right = _right(audited, groups, train, test, seed)
    clean = train & ~np.isin(groups, own)
    without = None
    if (clean == train).all():
        without = right
    elif clean.sum() > 1 and len(np.unique(audited.labels[clean])) > 1:
        without = _right(audited, groups, clean, test, seed)
    return Leak(
        int(leaked(audited, groups.tolist())[test].sum()),
        float(right.mean()),
        accuracy_interval(right, own),
        None if without is None else float(without.mean()),
        None if without is None else accuracy_interval(without, own),
        None if without is None else float(right.mean() - without.mean()),
        None if without is None else difference_interval(without, right, own),
    )


def _right(
    audited: AuditedImages,
    groups: NDArray[np.integer],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.bool_]:
    """Which test photos a linear head gets right that learned from these training photos."""
    features, labels = torch.from_numpy(audited.features), torch.from_numpy(audited.labels)
    k = len(audited.classes)
    probe = fit_probe(features[train], labels[train], k, Probe(seed=seed), groups=groups[train])
    right: NDArray[np.bool_] = (probe.logits(features[test]).argmax(1) == labels[test]).numpy()
    return right
