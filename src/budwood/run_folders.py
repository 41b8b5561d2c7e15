"""The folder of a run: a new one for each, and proven writable before hours go into it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from budwood.errors import BudwoodError, ConfigError
from budwood.places import whole_file

RUNS = Path("runs")
"""Where runs go that are given no folder of their own."""


def new_folder(data: Path, model: str) -> Path:
    """`runs/DATA-MODEL`, or with the first number behind it that no other run has; now made."""
    here = data.resolve()
    own = here.stem if here.is_file() else here.name  # a folder `photos.v2` has no ending
    name, number = f"{own}-{model.replace('/', '-')}", 1
    while True:
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            with writing_to(folder):
                folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def require_writable(folder: Path) -> None:
    """Nothing, if the folder can be written, or made.

    Raises:
        ConfigError: If it cannot.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise _unwritable(folder, f"{place} is {'read-only' if place.is_dir() else 'a file'}")


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Tell a full disk and the like as the run's problem.

    Raises:
        ConfigError: If something cannot be written.
        FileExistsError: If something is there already.
    """
    try:
        yield
    except (BudwoodError, FileExistsError):
        raise
    except OSError as problem:
        raise _unwritable(folder, problem.strerror or str(problem)) from problem


def write_json(path: Path, content: Any) -> None:
    """Put plain values into a file, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2).encode())


def _unwritable(folder: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"The run cannot be written to {folder}: {reason}.",
        next="Make room there, or pass --out with another folder.",
        file=folder,
    )


def request_of(run: Path) -> dict[str, Any] | None:
    """What a run was asked for, as it was written beside its capsule; None of a capsule alone.

    Args:
        run: Its folder or its capsule.

    Raises:
        ConfigError: If the file is damaged.
    """
    file = (run.parent if run.is_file() else run) / "config.json"
    if not file.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError:
        raise ConfigError(f"{file} is damaged.", next="Train again.", file=file) from None
    return found
