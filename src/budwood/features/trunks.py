"""What is kept of trunks on disk, under the keys of their outputs and the size of their images.

BUDWOOD_HOME/trunks/<key>/model.*    an engine's own format; OpenVINO: model.xml, model.bin
BUDWOOD_HOME/trunks/<key>/*.json     what was found out: engines that agreed, speeds
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.files import home, whole_folder, write_json

LARGEST_BYTES = 8 * 2**30
"""Bytes that all kept trunks may take; the ones that were used longest ago go first."""
VERIFIED = "trusted.json"
"""The engines that have agreed with torch on this processor."""

_log = logging.getLogger("budwood")
_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class TrunkRef:
    """By what a trunk that need not be built is found, and what follows it: names, not weights."""

    keys: tuple[str, ...]
    """Those of its frontier tensors, by which its rows and its converted trunk are found."""
    chain: tuple[tuple[str, str], ...]
    """The graft behind it, layer by layer; see `surgery.flow.chain_of`."""

    def to_json(self) -> dict[str, Any]:
        return {"keys": list(self.keys), "chain": [list(step) for step in self.chain]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrunkRef":
        chain = ((str(kind), str(name)) for kind, name in fields["chain"])
        return cls(tuple(map(str, fields["keys"])), tuple(chain))


def trunks_folder() -> Path:
    """Where all kept trunks are."""
    return home() / "trunks"


def trunk_key(frontier_keys: Sequence[str], image: Sequence[int]) -> str:
    """The name of a trunk: what its outputs are, in order, for images `h w c` of that shape."""
    parts = json.dumps(["trunk-1", list(frontier_keys), list(image)])
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def kept_file(key: str, name: str) -> Path | None:
    """A file that is kept of a trunk, which counts as used now; None if it is not there."""
    file = trunks_folder() / key / name
    if not os.path.exists(file):  # unlike `Path.exists`, false where we may not look
        return None
    with suppress(OSError):  # a home that cannot be written can still be read from
        os.utime(file.parent)
    return file


def discard(file: Path, problem: Exception) -> None:
    """Give up a kept trunk whose file makes no sense, unless it only cannot be read now."""
    _log.warning("The kept trunk %s cannot be read and is made again: %s", file, problem)
    if _can_be_read(file.parent):  # else it may be whole, and what hinders us will pass
        shutil.rmtree(file.parent, ignore_errors=True)


def keep_trunk(key: str, write: Callable[[Path], None]) -> bool:
    """Keep what `write` puts into a folder; false, and nothing is kept, if the disk refuses it."""
    place = trunks_folder() / key
    try:
        if not place.exists():
            with whole_folder(place) as part:  # fails where another process has just kept it
                write(part)
        _make_room(place)
    except (OSError, RuntimeError) as problem:
        if not place.is_dir():
            _log.warning("The converted trunk cannot be kept in %s: %s", place, problem)
            return False
        _log.info("Old trunks beside %s cannot be looked through: %s", place, problem)
    return True


def remember(key: str, file: str, name: str, value: Any) -> None:
    """Note a JSON value under a name in a file beside a trunk, if that is kept."""
    place = trunks_folder() / key
    known = notes_in(place / file)
    if place.is_dir() and known.get(name) != value:
        with suppress(OSError):
            write_json(place / file, known | {name: value})


def remembered(key: str, file: str, name: str) -> Any:
    """What was noted under that name; None if nothing was, or it cannot be read."""
    return notes_in(trunks_folder() / key / file).get(name)


def notes_of(key: str, file: str) -> dict[str, Any]:
    """All that was noted in a file beside a trunk."""
    return notes_in(trunks_folder() / key / file)


def note_verified(key: str, engine: str) -> None:
    """Remember that an engine, as `verified_name` calls it, agreed with torch on a trunk."""
    remember(key, VERIFIED, engine, True)


def is_verified(key: str, engine: str) -> bool:
    """True if that engine agreed on this trunk before, on this processor."""
    return remembered(key, VERIFIED, engine) is True


def kept_trunks() -> Iterator[tuple[Path, int]]:
    """The folder of each kept trunk with its bytes, the one used longest ago first."""
    found = []
    for place in {model.parent for model in trunks_folder().glob("*/model.*")}:
        with suppress(OSError):
            if _KEY.fullmatch(place.name):
                found.append((place.stat().st_mtime, place))
    yield from ((place, bytes_of(place)) for _, place in sorted(found))


def bytes_of(place: Path, pattern: str = "*") -> int:
    """Bytes of a file, or of the files in a folder, as far as they are there when looked at."""
    total = 0
    for path in place.glob(pattern) if place.is_dir() else (place,):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def notes_in(file: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if it cannot be read."""
    try:
        said = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _can_be_read(place: Path) -> bool:
    try:
        for file in place.iterdir():
            with file.open("rb") as content:
                content.read(1)
    except OSError:
        return False
    return True


def _make_room(newest: Path) -> None:
    kept = list(kept_trunks())
    total = sum(size for _, size in kept)
    for place, size in kept:
        if total <= LARGEST_BYTES:
            return
        if place != newest:
            shutil.rmtree(place, ignore_errors=True)
            total -= size
