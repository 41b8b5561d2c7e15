"""Photos to learn with, fetched by name: the flowers and the cats and dogs of the course."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.display import displayed
from budwood.errors import DataError, UnknownName
from budwood.files import home, whole_folder
from budwood.models.downloads import ARCHIVE, Progress, fetch, sha256_of, unpack
from budwood.reporter import SILENT, Reporter
from budwood.text import did_you_mean


@displayed
@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A published archive of photos in class folders."""

    name: str
    about: str
    url: str
    bytes: int
    """Of the archive."""
    sha256: str
    """Of the archive."""
    images: dict[str, int]
    """How many each folder of the archive holds; the last part of its name is the class."""

    @property
    def classes(self) -> dict[str, int]:
        """How many photos each class has, in all parts together."""
        counts: dict[str, int] = {}
        for folder, number in self.images.items():
            name = folder.rsplit("/", 1)[-1]
            counts[name] = counts.get(name, 0) + number
        return counts


_FLOWERS = Dataset(
    name="flowers",
    about="The flowers of the course: five kinds, photos of TensorFlow's tutorials, licence CC BY.",
    url="https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
    bytes=228_813_984,
    # As TensorFlow Datasets (tf_flowers) and a Yocto recipe publish it.
    sha256="4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
    images={"daisy": 633, "dandelion": 898, "roses": 641, "sunflowers": 699, "tulips": 799},
)
_CATDOG = Dataset(
    name="catdog",
    about="Cats and dogs of Kaggle's photos, as Google's courses use them. Another subset than "
    "the course's own, which is published nowhere: its accuracies are not comparable.",
    url="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
    bytes=68_606_236,
    # By one source only: the Git LFS entry of a file of that name and size in a copy of the
    # PlaidML project's test data. The size itself is in many published logs of the download.
    sha256="91af24e0be191e9380dafc8710d0933fa826ec8e51f26f85c1fddba4e8018e3f",
    images={
        "train/cats": 1000,
        "train/dogs": 1000,
        "validation/cats": 500,
        "validation/dogs": 500,
    },
)
DATASETS = {dataset.name: dataset for dataset in (_FLOWERS, _CATDOG)}
"""All of them by name."""


@displayed
@dataclass(frozen=True)
class Datasets:
    """What can be fetched."""

    found: tuple[Dataset, ...]

    def to_json(self) -> dict[str, Any]:
        """The object of `data list --json`; see docs/json.md."""
        return {
            "data": [
                {
                    "name": dataset.name,
                    "about": dataset.about,
                    "classes": list(dataset.classes),
                    "images": sum(dataset.images.values()),
                    "url": dataset.url,
                    "bytes": dataset.bytes,
                    "sha256": dataset.sha256,
                }
                for dataset in self.found
            ]
        }

    def __str__(self) -> str:
        return "\n\n".join(
            f"{dataset.name}: {sum(dataset.images.values())} photos "
            f"({', '.join(dataset.classes)}), {dataset.bytes / 1e6:.0f} MB\n"
            f"  {dataset.about}\n  {dataset.url}"
            for dataset in self.found
        )


@displayed
@dataclass(frozen=True)
class ScannedFolder:
    """A data set that lies unpacked on the disk."""

    dataset: Dataset
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """The object of `data get --json`; see docs/json.md."""
        classes = self.dataset.classes
        return {
            "data": self.dataset.name,
            "folder": str(self.folder),
            "classes": classes,
            "images": sum(classes.values()),
        }

    def __str__(self) -> str:
        width = max(map(len, self.dataset.images))
        return "\n".join(
            [
                f"{sum(self.dataset.images.values())} photos in {self.folder}:",
                *(f"  {name:<{width}}  {n:>4}" for name, n in self.dataset.images.items()),
                self.dataset.about,
                "The hash of the archive and the number of photos in each folder are as published.",
                f"Next: budwood train {shlex.quote(str(self.folder))}",
            ]
        )


def get_dataset(
    name: str,
    folder: Path | str | None = None,
    *,
    archive: Path | str | None = None,
    reporter: Reporter = SILENT,
    on_progress: Progress | None = None,
) -> ScannedFolder:
    """The photos of that name in a folder: downloaded, checked, unpacked; or nothing is changed.

    A download that breaks off is taken up again by the next call; the archive is kept in
    `BUDWOOD_HOME/downloads`.

    Args:
        name: `flowers` or `catdog`.
        folder: Where they go, not there yet or empty; default `NAME` in the current folder.
        archive: The archive, where it was downloaded by other means.
        reporter: Told what is done.
        on_progress: Called with the bytes downloaded so far and those there are.

    Raises:
        UnknownName: If no data set is called so.
        DataError: If the folder is in use or cannot be written, there is no network, or the
            archive is not the published one.

    Example:
        >>> get_dataset("flowers")  # doctest: +SKIP
        >>> get_dataset("flowers", archive="flower_photos.tgz")  # doctest: +SKIP
    """
    dataset = find_dataset(name)
    folder = Path(name if folder is None else folder)
    _require_free(folder)
    archive = _download(dataset, reporter, on_progress) if archive is None else Path(archive)
    _check_archive(archive, dataset)
    reporter.note(f"Unpacking {archive} into {folder}.")
    try:
        with whole_folder(folder) as partial:
            unpack(archive, partial)
            _check_images(partial, dataset, archive)
    except OSError as problem:
        raise DataError(
            f"{folder} cannot be written: {problem.strerror or problem}.",
            next="Make room there, or pass --out with another folder.",
            file=folder,
        ) from None
    return ScannedFolder(dataset, folder)


def find_dataset(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        UnknownName: If there is none; the message names the nearest.

    Example:
        >>> find_dataset("flowers").classes["daisy"]
        633
    """
    if name in DATASETS:
        return DATASETS[name]
    near = did_you_mean(name.lower(), DATASETS)
    raise UnknownName(
        f"No data set is called {name!r}.",
        expected=f"Did you mean {near!r}?" if near else None,
        next="`budwood data list` lists them.",
    )


def _require_free(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        reason = "is a file"
    elif folder.resolve() == Path.cwd():
        reason = "is the current folder"
    elif any(folder.iterdir()):
        reason = "is not empty"
    else:
        return
    raise DataError(
        f"{folder} {reason}.",
        expected="The photos go into a new folder; nothing is overwritten.",
        next="Pass --out with the name of a new folder.",
        file=folder,
    )


def _download(dataset: Dataset, reporter: Reporter, on_progress: Progress | None) -> Path:
    folder = home() / "downloads"
    reporter.note(f"Downloading {dataset.url} ({dataset.bytes / 1e6:.0f} MB), kept in {folder}.")
    return fetch(
        dataset.url,
        sha256=dataset.sha256,
        folder=folder,
        purpose=ARCHIVE,
        on_progress=on_progress,
    )


def _check_archive(archive: Path, dataset: Dataset) -> None:
    if not archive.is_file():
        raise DataError(f"There is no archive {archive}.", next="Check the path.", file=archive)
    size = archive.stat().st_size
    if size != dataset.bytes:
        found, published = f"It has {size:,} bytes", f"{dataset.bytes:,} bytes"
    elif (digest := sha256_of(archive)) != dataset.sha256:
        found, published = f"Its SHA-256 is {digest}", dataset.sha256
    else:
        return
    raise DataError(
        f"{archive} is not the published archive of {dataset.name}. {found}.",
        expected=f"It must be {published}.",
        next=f"Remove it and download {dataset.url} again.",
        file=archive,
    )


def _check_images(folder: Path, dataset: Dataset, archive: Path) -> None:
    for name, expected in dataset.images.items():
        found = sum(not image.name.startswith(".") for image in (folder / name).glob("*.jpg"))
        if found != expected:
            raise DataError(
                f"{archive} has {found} photos in {name!r}.",
                expected=f"{dataset.name} has {expected} there; nothing was kept.",
                next=f"Remove it and download {dataset.url} again.",
                file=archive,
            )
