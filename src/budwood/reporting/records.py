"""What a run left behind: what was asked, what it came to, and which photos it used."""

import csv
import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.data.folder import ImageFolder, load_folder
from budwood.data.layouts import LISTS
from budwood.data.splitting import as_groups
from budwood.errors import BudwoodError, ConfigError
from budwood.fields import option_name, settings_of
from budwood.files import path_cell, write_list
from budwood.run_folders import CONFIG, settings_of_run
from budwood.settings import Settings

_VERSION_1 = {
    "photos": "images",
    "skipped": "unreadable",
    "penalty": "l2_strength",
    "strange": "ood",
    "called": "flagged",
    "answered": "covered",
    "wrong": "errors",
    "unsure": "low_confidence",
    "truth": "label",
    "truth_probability": "label_probability",
    "judged": "evaluated",
    "train_photos": "train_images",
    "test_photos": "test_images",
}
"""Keys of `result.json` before it had a version, and what they are called now."""
IMAGES = "photos.csv"
"""The photos of a run: path, label, split and group. `budwood train` takes such a list, too."""
RESULT = "result.json"
FEW = 10
"""Photos; a class with fewer can hardly be learned or judged."""


@dataclass(frozen=True)
class ListedImage:
    """A photo of a run."""

    path: Path
    label: str
    split: str
    """train, val or test."""
    group: str = ""
    """What it was kept together by; empty if it stands for itself."""


@dataclass(frozen=True)
class RunRecord:
    """What a run left behind."""

    folder: Path
    request: Settings
    result: Mapping[str, Any]
    images: tuple[ListedImage, ...]
    """Empty if they are not known any more."""
    versions: Mapping[str, str]
    fingerprint: str | None
    """Of the training photos and their classes."""

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Photos by class and prediction; nothing without test photos."""
        test = self.result["test"]
        return () if test is None else tuple(tuple(row) for row in test["confusion"])

    def here(self) -> tuple[ListedImage, ...]:
        """The photos that are still where they were."""
        return tuple(image for image in self.images if image.path.is_file())

    def small_classes(self) -> dict[str, int]:
        """Classes with very few training photos, with their number; none if photos are unknown."""
        numbers = dict.fromkeys(self.result["classes"] if self.images else (), 0)
        for image in self.images:
            if image.split == "train":
                numbers[image.label] += 1
        return {name: number for name, number in numbers.items() if number < FEW}

    def shown(self, path: Path | str) -> str:
        """A path, as short as it can be said."""
        data = self.request.data
        root = data.parent if data.suffix.lower() in LISTS else data
        for base in (root, root.absolute(), root.resolve()):
            if Path(path).is_relative_to(base):
                return Path(path).relative_to(base).as_posix()
        return str(path)


def listed(images: ImageFolder) -> tuple[ListedImage, ...]:
    """The photos of a folder, with where they are whatever the working folder is."""
    splits = [split for split in (images.train, images.val, images.test) if split is not None]
    sizes = Counter(group for split in splits for group in split.groups or ())
    return tuple(
        ListedImage(
            path.absolute(),
            split.classes[label],
            split.name,
            str(group) if sizes[group] > 1 else "",
        )
        for split in splits
        for path, label, group in zip(
            split.paths, split.labels, split.groups or repeat(-1, len(split)), strict=True
        )
    )


def groups_of(images: Sequence[ListedImage]) -> NDArray[np.int64] | None:
    """The groups of listed photos as numbers; None where each stands for itself."""
    if not any(image.group for image in images):
        return None
    return as_groups([image.group or image.path for image in images])


def write_images(file: Path, images: Sequence[ListedImage]) -> None:
    """Put the list of a run's photos into a file, whole or not at all."""
    has_groups = any(image.group for image in images)
    rows = [
        [path_cell(image.path), image.label, image.split, *([image.group] if has_groups else [])]
        for image in images
    ]
    head = ["path", "label", "split", *(["group"] if has_groups else [])]
    write_list(file, [head, *rows])


def read_record(folder: Path, versions: Mapping[str, str], fingerprint: str | None) -> RunRecord:
    """What is in the folder of a run, but for its capsule."""
    request, file = settings_of_run(folder), folder / RESULT
    if request is None or not file.is_file():
        raise ConfigError(
            f"There is no {RESULT if request else CONFIG} in {folder}: a report needs it.",
            expected="Name a folder that `budwood train` wrote.",
            file=folder,
        )
    try:
        result = upgraded(json.loads(file.read_text("utf-8")))
    except ValueError:
        raise ConfigError(f"{file} is damaged.", next="Train again.", file=file) from None
    return RunRecord(folder, request, result, images_of(folder, request), versions, fingerprint)


def upgraded(result: dict[str, Any]) -> dict[str, Any]:
    """A run's `result.json` with the keys of today, whatever version wrote it.

    Example:
        >>> upgraded({"test": {"photos": 5}, "strange": {"called": 1}})
        {'test': {'images': 5}, 'ood': {'flagged': 1}}
    """
    return result if "version" in result else dict(_renamed(result))


def _renamed(value: Any, within: str = "") -> Any:
    if isinstance(value, list):
        return [_renamed(each, within) for each in value]
    if not isinstance(value, dict):
        return value
    names = _VERSION_1 | ({"error": "selective_error"} if within == "abstain" else {})
    inner = "abstain" if within == "abstain" else ""
    return {
        names.get(key, key): _renamed(each, "abstain" if key == "abstain" else inner)
        for key, each in value.items()
    }


def images_of(folder: Path, request: Settings) -> tuple[ListedImage, ...]:
    """The photos that a run used, there or not; none if that is not known.

    Runs of before there was a list are split again, as they were then, if the folder is there.
    """
    file = folder / IMAGES
    if file.is_file():
        try:
            with file.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
                rows = [
                    ListedImage(Path(r["path"]), r["label"], r["split"], r.get("group") or "")
                    for r in csv.DictReader(lines)
                ]
        except (ValueError, KeyError, TypeError, csv.Error):
            raise ConfigError(f"{file} is damaged.", next="Train again.", file=file) from None
        return tuple(rows)
    try:
        return listed(
            load_folder(
                request.data,
                test=request.test,
                val=request.val,
                test_fraction=request.test_fraction,
                seed=request.seed,
                group=request.group,
            )
        )
    except BudwoodError:
        return ()


_NOT_REPEATED = ("out", "report")


def command_of(settings: Settings) -> str:
    """What to type to do the same again.

    Example:
        >>> from pathlib import Path
        >>> steps = (("unfreeze", "layer4*"),)
        >>> command_of(Settings(data=Path("photos"), head="mlp:8", surgery=steps))
        "budwood train photos --head mlp:8 --unfreeze 'layer4*'"
    """
    words = ["budwood", "train", str(settings.data)]
    named_by_recipe = ("model",) if settings.recipe and settings.graft else ()
    for name, each in settings_of(type(settings)).items():
        value = getattr(settings, name)
        is_option = each.has_option and not each.parts and name not in _NOT_REPEATED
        if is_option and value != each.default and name not in named_by_recipe:
            words += [option_name(name)] if value is True else [option_name(name), str(value)]
    for action, pattern in settings.surgery:
        words += [f"--{action}", pattern]
    return shlex.join(words)
