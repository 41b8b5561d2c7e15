"""An audit of a folder of photos, from its path to what was found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.data.deep_images import extents_of
from budwood.data.duplicates import Thumbnail, glances
from budwood.data.folder import ImageFolder, load_folder
from budwood.data.labels import FEW, left_out
from budwood.data.near_duplicates import SIDE
from budwood.display import displayed
from budwood.errors import DataError
from budwood.evaluation.data_issues import (
    AuditedImages,
    Finding,
    Leak,
    counted,
    findings,
    leak_of,
    near_duplicates_of,
)
from budwood.evaluation.label_errors import held_out_opinions
from budwood.features.gathering import CHANGED, Extraction, FeatureSet
from budwood.image_classifier import ImageClassifier
from budwood.models.info import set_depth
from budwood.reporter import SILENT, Reporter
from budwood.settings import Settings
from budwood.tasks.preparing import prepared_network
from budwood.text import count


@displayed
@dataclass(frozen=True)
class Audit:
    """What an audit found; printed, it is a table and the findings."""

    data: Path
    model: str
    images: int
    findings: tuple[Finding, ...]
    leak: Leak | None
    """None without a test split."""
    notes: tuple[str, ...] = ()
    fixed: tuple[dict[str, Any], ...] = ()
    """Photos that were moved before, as `Fix` tells them."""

    def to_json(self) -> dict[str, Any]:
        """The object of `audit --json`; see docs/json.md."""
        return {
            "data": str(self.data),
            "model": self.model,
            "images": self.images,
            "findings": [finding.to_json() for finding in self.findings],
            "leak": self.leak and self.leak.to_json(),
            "fixed": list(self.fixed),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.findings:
            return f"{count(self.images, 'photo')}: no problems found."
        classes = [f for f in self.findings if f.kind == "imbalance"]  # they come last
        shown = self.findings[: len(self.findings) - max(0, len(classes) - FEW)]
        lines = [f"{f.kind:<10} {f}" for f in shown]
        if len(classes) > FEW:
            lines.append(f"{'imbalance':<10} ... and {len(classes) - FEW:,} more: --json has all.")
        leak = [str(self.leak)] if self.leak and self.leak.images else []
        return "\n\n".join(
            [
                f"{count(self.images, 'photo')}, judged by {self.model}.",
                counted(self.findings),
                *leak,
                "\n".join(lines),
            ]
        )


def audit(
    data: Path | str,
    *,
    model: str = "efficientnet_lite0",
    extraction: Extraction | None = None,
    seed: int = 0,
    group: str | None = None,
    reporter: Reporter = SILENT,
) -> Audit:
    """Look at every photo of a folder; nothing is changed.

    Args:
        data: Folder or CSV file of photos.
        model: The network by whose features photos are judged.
        extraction: How it is run: precision, device, limit of the store.
        seed: Of the folds in which labels are judged.
        group: Column of the CSV file to use instead of `group`.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        BudwoodError: Of the kind that fits.
    """
    data = Path(data)
    folder = load_folder(data, test_fraction=None, group=group, find_groups=False)
    notes: list[str] = []

    def say(note: object) -> None:
        notes.append(str(note))
        reporter.note(note)

    for note in folder.notes:
        say(note)
    splits = [split for split in (folder.train, folder.val, folder.test) if split is not None]
    paths = [path for split in splits for path in split.paths]
    network = prepared_network(Settings(data=data, model=model), folder.classes)
    set_depth(network, folder.depth)
    judge = ImageClassifier(
        network,
        extraction=extraction,
        reporter=reporter,
    )
    gathered = judge.gather(paths)
    seen = glances(gathered.paths, folder.depth, reporter)
    audited = _audited(folder, gathered, judge.head_features(gathered), seen)
    if len(audited.paths) < 2:
        raise DataError(
            f"Of {count(len(paths), 'photo')} in {data}, {len(audited.paths)} can be read.",
            expected="An audit needs two at least.",
            next="Copy them again.",
            file=data,
        )
    alikes = near_duplicates_of(audited)
    if alikes.left_out:
        say(left_out(alikes.left_out))
    groups = np.array(alikes.groups, np.int64)
    probabilities = held_out_opinions(
        audited.features, audited.labels, groups, len(folder.classes), seed
    )
    if probabilities is None:
        say(
            "Labels are not judged: photos that do not belong together are needed in two classes "
            "or more."
        )
    found = findings(audited, alikes, probabilities)
    return Audit(data, model, len(paths), found, leak_of(audited, groups, seed), tuple(notes))


def require_network(data: Path, model: str) -> None:
    """Nothing, if an audit by this network can begin.

    Raises:
        BudwoodError: If it cannot be built, for example because its weights cannot be had.
    """
    prepared_network(Settings(data=data, model=model), 2)


def with_fixes(audit: Audit, fixed: Sequence[dict[str, Any]]) -> Audit:
    """The same audit, telling what was moved before it."""
    return replace(audit, fixed=tuple(fixed))


def _audited(
    folder: ImageFolder,
    gathered: FeatureSet,
    features: NDArray[np.float32],
    seen: Sequence[Thumbnail | None],
) -> AuditedImages:
    """What is known of the photos that could be read by the network and at a glance."""
    labels, parts = {}, {}
    own: dict[Path, int] = {}
    for split in (folder.train, folder.val, folder.test):
        for path, label in zip(split.paths, split.labels, strict=True) if split else ():
            labels[path], parts[path] = label, split.name if split else ""
        if split is not None and split.groups is not None:
            own |= dict(zip(split.paths, split.groups, strict=True))
    looks = [one for one in seen if one is not None]
    kept = [i for i, one in enumerate(seen) if one is not None]
    lost = {path: CHANGED for path, one in zip(gathered.paths, seen, strict=True) if one is None}
    paths = tuple(gathered.paths[i] for i in kept)
    return AuditedImages(
        root=folder.root if folder.root.is_dir() else folder.root.parent,
        classes=folder.classes,
        paths=paths,
        labels=np.array([labels[path] for path in paths], np.int64),
        parts=tuple(parts[path] for path in paths),
        digests=tuple(gathered.images[i] for i in kept),
        sizes=tuple(look.size for look in looks),
        small=np.array([look.small for look in looks], np.uint8).reshape(-1, SIDE, SIDE),
        moments=tuple(look.moment for look in looks),
        features=features[kept],
        unreadable={**gathered.unreadable, **lost},
        given_groups=tuple(own.get(path) for path in paths),
        extents=extents_of(paths),
    )
