"""Folders for output: a new one for each run, never the photos' own, nothing in them replaced
unasked, and proven writable before hours go into them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from budwood.errors import BudwoodError, ConfigError, DataError, UnknownName
from budwood.files import CAPSULE, MARKER, file_name
from budwood.models.catalog import find, list_models, nearest
from budwood.settings import Settings
from budwood.text import did_you_mean

CONFIG = "config.json"
"""Of a run, what it was asked for."""
RUNS = Path("runs")
"""Where runs go that are given no folder of their own."""


def run_or_network(what: str | Path) -> Path | str:
    """The path of a run, if there is one, else the name of a network of the catalogue.

    What exists wins: a folder called `resnet50` is a run.

    Example:
        >>> run_or_network("resnet50")
        'resnet50'
    """
    path = Path(what).expanduser()
    if path.exists():
        return path
    try:
        return find(str(what)).name
    except UnknownName:
        is_plain = len(path.parts) == 1 or list_models(f"{path.parts[0]}/*")
        near = (_near(path), nearest(str(what)) if is_plain else None)
        guesses = [guess for guess in near if guess]
        raise DataError(
            f"There is no run {path}, and no network is called so.",
            expected=f"Did you mean {' or '.join(guesses)}?" if guesses else None,
            next="`budwood train` makes a run; `budwood models` lists the networks.",
            file=path,
        ) from None


def _near(path: Path) -> str | None:
    """The name in its folder, or in that of runs, that is nearest to a path."""
    for folder in (path.parent, RUNS):
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        if near := did_you_mean(path.name, names):
            return str(folder / near)
    return None


def place_for(name: Path, data: Path) -> Path:
    """Where output goes that is given no folder: `name` in the working folder.

    Where that is inside the photos, output would be taken for photos the next time: then it is
    `name` beside their folder.
    """
    return data.resolve().parent / name if is_inside(name, data) else name


def is_inside(folder: Path, data: Path) -> bool:
    """True for a folder that is, or lies in, a folder of photos."""
    return data.is_dir() and folder.resolve().is_relative_to(data.resolve())


def require_outside(folder: Path, *images: Path | None) -> None:
    """Raise unless a folder for output lies outside all folders of photos."""
    for data in images:
        if data is not None and is_inside(folder, data):
            raise ConfigError(
                f"{folder} is in the folder of photos {data}.",
                expected="What is written there would be taken for photos the next time.",
                next="Pass --out with a folder elsewhere.",
                file=folder,
            )


def require_new(folder: Path, replace: bool) -> None:
    """Raise unless a folder is new or empty, or holds output of Budwood that may be replaced."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not _is_ours(folder):
        raise ConfigError(
            f"{folder} is not empty, and Budwood did not make it.",
            expected="A new folder is expected: nothing is overwritten.",
            next="Pass --out with another folder.",
            file=folder,
        )
    if not replace:
        raise ConfigError(
            f"{folder} holds the result of an earlier command.",
            next="Pass --out with another folder, or --replace to replace what is there.",
            file=folder,
        )


def require_no_file(file: Path, replace: bool) -> None:
    """Raise unless a result may be written to a file."""
    if os.path.lexists(file) and not replace:
        raise ConfigError(
            f"{file} is there already.",
            next="Pass --out with another folder, or --replace to replace it.",
            file=file,
        )


def _is_ours(folder: Path) -> bool:
    """True for a folder that Budwood made; runs of before the marker have other files."""
    is_run = (folder / CAPSULE).is_file() and (folder / CONFIG).is_file()
    return is_run or (folder / MARKER).is_file()


def mark(folder: Path) -> None:
    """Make a folder for output, with a file that says so; one that holds other files is not
    marked."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MARKER).write_text("Budwood wrote what is here: no photos to learn from.\n")


def new_folder(data: Path, model: str) -> Path:
    """`runs/DATA-MODEL`, or with the first number behind it that no other run has; now made."""
    whole = data.resolve()
    own = whole.stem if whole.is_file() else whole.name  # a folder `images.v2` has no ending
    name = file_name(f"{own}-{model.replace('/', '-')}")
    number = 1
    runs = place_for(RUNS, data)
    while True:
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            with writing_to(folder):
                folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def require_writable(folder: Path) -> None:
    """Raise unless a folder can be written, or made."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise _unwritable(folder, f"{place} is {'read-only' if place.is_dir() else 'a file'}")


@contextmanager
def writing_to(folder: Path, next: str | None = None) -> Iterator[None]:
    """Tell a full disk and the like as the run's problem; `next` is what to do then."""
    try:
        yield
    except (BudwoodError, FileExistsError):
        raise
    except OSError as problem:
        raise _unwritable(folder, problem.strerror or str(problem), next) from problem


def _unwritable(folder: Path, reason: str, next: str | None = None) -> ConfigError:
    return ConfigError(
        f"The run cannot be written to {folder}: {reason}.",
        next=next or "Make room there, or pass --out with another folder.",
        file=folder,
    )


def settings_of_run(run: Path) -> Settings | None:
    """What a run was asked for, as it was written beside its capsule; None of a capsule alone."""
    file = (run.parent if run.is_file() else run) / CONFIG
    if not file.is_file():
        return None
    try:
        return Settings.from_json(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError, AttributeError) as problem:
        if isinstance(problem, ConfigError):
            problem.file = str(file)
            raise
        raise ConfigError(f"{file} is damaged.", next="Train again.", file=file) from None
