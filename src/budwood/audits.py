"""An audit of a folder of photos, from its path to what was found; and its findings carried out."""

import csv
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.errors import ConfigError, DataError
from budwood.features.extraction import OnProgress
from budwood.features.gathering import Extraction, Gatherer
from budwood.features.reading_ahead import workers
from budwood.images.folder import load_folder
from budwood.images.headers import read_header
from budwood.images.likeness import SMALL
from budwood.images.moments import Moment, moment_of
from budwood.images.notes import count
from budwood.images.reading import read
from budwood.judging.auditing import Audited, Likenesses, findings, leaked, likenesses
from budwood.judging.calibration import fit_temperature, softmax
from budwood.judging.findings import Finding, counted
from budwood.judging.intervals import wilson_interval
from budwood.learning.precision_trial import pooled
from budwood.learning.probe import Probe, fit_probe, held_out_logits
from budwood.networks.building import build, preprocessing_of
from budwood.networks.prepared import Prepared
from budwood.surgery.stages import stages_of

REMOVE, RELABEL = "remove", "move to "
"""What may stand in the column `action` of a list of findings; nothing there changes nothing."""
COLUMNS = ("id", "kind", "photo", "reason", "advice", "action")
FOLDS = 5


@dataclass(frozen=True)
class Leak:
    """What photos of the test split that were trained on are worth."""

    photos: int
    """Test photos that belong together with a training photo."""
    top1: float
    """With them."""
    interval: tuple[float, float]
    top1_without: float | None
    """Without them; None if none is left."""
    interval_without: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `audit --json`."""
        return {
            "photos": self.photos,
            "top1": self.top1,
            "interval": list(self.interval),
            "top1_without": self.top1_without,
            "interval_without": self.interval_without and list(self.interval_without),
        }

    def __str__(self) -> str:
        without = "-" if self.top1_without is None else f"{self.top1_without:.3f}"
        return (
            f"{count(self.photos, 'test photo')} are known from training: top-1 {self.top1:.3f} "
            f"with them, {without} without."
        )


@dataclass(frozen=True)
class Audit:
    """What an audit found; printed, it is a table and the findings."""

    data: Path
    model: str
    photos: int
    findings: tuple[Finding, ...]
    leak: Leak | None
    """None without a test split."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object of `audit --json`; see docs/json.md."""
        return {
            "data": str(self.data),
            "model": self.model,
            "photos": self.photos,
            "findings": [finding.to_json() for finding in self.findings],
            "leak": self.leak and self.leak.to_json(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        if not self.findings:
            return f"{count(self.photos, 'photo')}: nothing to complain of."
        lines = [f"{f.kind:<10} {f}" for f in self.findings]
        leak = [str(self.leak)] if self.leak and self.leak.photos else []
        return "\n\n".join(
            [
                f"{count(self.photos, 'photo')}, judged by {self.model}.",
                counted(self.findings),
                *leak,
                "\n".join(lines),
            ]
        )


def audit(
    data: Path,
    *,
    model: str = "efficientnet_lite0",
    extraction: Extraction,
    seed: int = 0,
    on_note: Callable[[object], None] = lambda note: None,
    on_progress: OnProgress | None = None,
) -> Audit:
    """Look at every photo of a folder; nothing is changed.

    Args:
        data: Folder or CSV file of photos.
        model: The network by whose features photos are judged.
        extraction: How it is run.
        seed: Of the split, if there is none, and of the folds.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass over the photos is.

    Raises:
        BudwoodError: Of the kind that fits.
    """
    folder = load_folder(data, seed=seed)
    for note in folder.notes:
        on_note(note)
    splits = [split for split in (folder.train, folder.val, folder.test) if split is not None]
    paths = [path for split in splits for path in split.paths]
    labels = {p: k for split in splits for p, k in zip(split.paths, split.labels, strict=True)}
    parts = {path: split.name for split in splits for path in split.paths}
    network = build(model)
    preprocessing = preprocessing_of(network)
    height, width = preprocessing.size
    photo = torch.zeros(1, height, width, len(preprocessing.mean), dtype=torch.uint8)
    stages = stages_of(Prepared(network, preprocessing), photo)
    gatherer = Gatherer(stages.cut, preprocessing, extraction, on_note, on_progress)
    gathered = gatherer.gather(paths)
    if len(gathered.paths) < 2:
        raise DataError("Fewer than two photos can be read.", file=data)
    features = pooled(gathered.rows).numpy()[:, -stages.stages[-1].width :]
    looks = _looked_at(gathered.paths)
    audited = Audited(
        root=data,
        classes=folder.classes,
        paths=gathered.paths,
        labels=np.array([labels[path] for path in gathered.paths], np.int64),
        parts=tuple(parts[path] for path in gathered.paths),
        digests=gathered.photos,
        sizes=tuple(look.size for look in looks),
        small=np.stack([look.small for look in looks]),
        moments=tuple(look.moment for look in looks),
        features=features,
        broken=dict(gathered.broken),
    )
    alikes = likenesses(audited)
    probabilities = _held_out(audited, alikes, seed)
    found = findings(audited, alikes, probabilities)
    said = tuple(str(note) for note in folder.notes)
    return Audit(data, model, len(paths), found, _leak(audited, alikes), said)


@dataclass(frozen=True)
class _Look:
    small: NDArray[np.uint8]
    size: tuple[int, int]
    moment: Moment | None


def _looked_at(paths: Sequence[Path]) -> list[_Look]:
    with ThreadPoolExecutor(workers()) as pool:
        return list(pool.map(_look_at, paths))


def _look_at(path: Path) -> _Look:
    data = read(path)
    header = read_header(data)
    small = SMALL.pixels(data)[..., 0]
    size = header.height or 0, header.width or 0
    if 0 in size:
        from budwood.images.decoding import decode

        size = decode(data).shape[:2]
    return _Look(small, size, moment_of(data))


def _held_out(audited: Audited, alikes: Likenesses, seed: int) -> NDArray[np.float64]:
    """Probabilities of each photo by a probe that has seen no photo of its group."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, k = torch.from_numpy(audited.labels), len(audited.classes)
    features = torch.from_numpy(audited.features)
    folds = np.zeros(len(labels), np.int64)
    parts = min(FOLDS, len(set(alikes.groups)))
    if parts < 2:
        return np.eye(k)[audited.labels]  # all photos are one: nothing can be held out
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    for fold, (_, out) in enumerate(splitter.split(features, labels, alikes.groups)):
        folds[out] = fold
    penalty = fit_probe(features, labels, k, Probe(seed=seed)).penalty
    logits = held_out_logits(features, labels, k, folds, penalty).numpy()
    return softmax(logits, fit_temperature(logits, audited.labels))


def _leak(audited: Audited, alikes: Likenesses) -> Leak | None:
    """Accuracy on the test photos with and without those that are known from training."""
    parts = np.array(audited.parts)
    train, test = parts == "train", parts == "test"
    if not test.any() or len(np.unique(audited.labels[train])) < 2:
        return None
    features = torch.from_numpy(audited.features)
    labels = torch.from_numpy(audited.labels)
    probe = fit_probe(features[train], labels[train], len(audited.classes))
    logits = features[test].float() @ probe.weight.T + probe.bias
    right = (logits.argmax(1) == labels[test]).numpy()
    known = leaked(audited, alikes.groups)[test]
    others = right[~known]
    return Leak(
        int(known.sum()),
        float(right.mean()),
        wilson_interval(int(right.sum()), len(right)),
        float(others.mean()) if len(others) else None,
        wilson_interval(int(others.sum()), len(others)) if len(others) else None,
    )


def write_findings(file: Path, found: Sequence[Finding]) -> None:
    """The findings as a list to look through: one line a photo, with an empty column `action`."""
    with file.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for finding in found:
            for path in finding.photos:
                writer.writerow(
                    [finding.id, finding.kind, path, finding.reason, finding.advice, ""]
                )


def apply_findings(file: Path, data: Path) -> list[str]:
    """Carry out what stands in the column `action` of a list of findings.

    `remove` moves a photo out, into a folder beside the data, whose name ends in `-removed`; `move
    to CLASS` moves it into that class's folder. Nothing is deleted or overwritten.

    Args:
        file: The list, as `write_findings` made it and somebody filled it in.
        data: The folder of photos.

    Returns:
        What was done, a line each.

    Raises:
        DataError: If the list or one of its lines makes no sense; nothing is done then.
    """
    steps = [_step(line, number, file, data) for number, line in enumerate(_lines(file), 2)]
    taken = [step for step in steps if step is not None]
    targets = [target for _, target in taken]
    for source, target in taken:
        if target.exists() or targets.count(target) > 1:
            raise DataError(
                f"{source} cannot be moved to {target}: something is there already.",
                next="Rename one of them.",
                file=source,
            )
    done = []
    for source, target in taken:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        done.append(f"{source} -> {target}")
    return done


def _lines(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text)
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{file} cannot be read: {problem}.", file=file) from None
    if not {"photo", "action"} <= set(reader.fieldnames or ()):
        raise DataError(
            f"{file} is no list of findings: it has no columns photo and action.",
            next="Write one with `budwood audit DATA --csv FILE`, and fill in its column action.",
            file=file,
        )
    return lines


def _step(line: dict[str, str], number: int, file: Path, data: Path) -> tuple[Path, Path] | None:
    action, photo = (line["action"] or "").strip(), Path(line["photo"])
    if not action:
        return None
    if not photo.is_file():
        raise DataError(f"Line {number} of {file}: there is no photo {photo}.", file=file)
    if not photo.resolve().is_relative_to(data.resolve()):
        raise DataError(f"Line {number} of {file}: {photo} is not in {data}.", file=file)
    if action == REMOVE:
        inside = photo.resolve().relative_to(data.resolve())
        return photo, data.resolve().with_name(f"{data.resolve().name}-removed") / inside
    if action.startswith(RELABEL):
        label = action.removeprefix(RELABEL).strip()
        target = photo.parent.parent / label
        if target.is_dir():
            return photo, target / photo.name
        raise DataError(f"Line {number} of {file}: there is no class folder {target}.", file=file)
    raise DataError(
        f"Line {number} of {file}: {action!r} is no action.",
        expected=f"`{REMOVE}`, `{RELABEL}CLASS`, or nothing.",
        file=file,
    )


def require_folder(data: Path) -> None:
    """Nothing, if photos can be moved there.

    Raises:
        ConfigError: If the data are a list.
    """
    if not data.is_dir():
        raise ConfigError(
            f"{data} is a list: its photos are not moved.",
            next="Change the list itself.",
            file=data,
        )
