"""Converted trunks on disk: making one takes seconds and needs torch, reading one needs neither.

    BUDWOOD_HOME/trunks/<key>/model.xml, model.bin    OpenVINO's own format

`key` names what the trunk computes: the keys of its frontier tensors, and the size of its photos.
A folder is written beside its place and renamed into it, like a shard of the store.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from budwood.features.openvino import core
from budwood.features.untracked import ov
from budwood.files import home, whole_file

LARGEST_BYTES = 8 * 2**30
"""Bytes that all kept trunks may take; the ones that were used longest ago go first."""

TRUST = "trusted.json"
"""Beside a trunk: the engines that have agreed with torch on this processor."""

_log = logging.getLogger("budwood")


@dataclass(frozen=True)
class Trunk:
    """What a classifier is, where its trunk need not be built: names, not weights."""

    keys: tuple[str, ...]
    """Of its frontier tensors; by these its rows and its converted trunk are found."""
    chain: tuple[tuple[str, str], ...]
    """The graft behind it, layer by layer; see `surgery.chains`."""

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {"keys": list(self.keys), "chain": [list(step) for step in self.chain]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Trunk":
        """What `to_json` gave, again."""
        chain = ((str(kind), str(name)) for kind, name in fields["chain"])
        return cls(tuple(map(str, fields["keys"])), tuple(chain))


def trunks_folder() -> Path:
    """Where all converted trunks are."""
    return home() / "trunks"


def trunk_key(frontier_keys: Sequence[str], photo: Sequence[int]) -> str:
    """The name of a trunk: what its outputs are, in order, for photos `h w c` of that shape.

    Example:
        >>> trunk_key(["a", "b"], (8, 8, 3)) == trunk_key(["b", "a"], (8, 8, 3))
        False
    """
    parts = json.dumps(["trunk-1", list(frontier_keys), list(photo)])
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def kept_trunk(key: str) -> ov.Model | None:
    """The model that is kept under this key; None if there is none that can be read."""
    file = trunks_folder() / key / "model.xml"
    if not os.path.exists(file):  # unlike `Path.exists`, false where we may not look
        return None
    try:
        model = core().read_model(file)
    except RuntimeError as problem:
        _log.warning("The kept trunk %s cannot be read and is made again: %s", file, problem)
        if _can_be_read(file.parent):  # else it may be whole, and what hinders us will pass
            shutil.rmtree(file.parent, ignore_errors=True)
        return None
    with suppress(OSError):  # a home that cannot be written can still be read from
        os.utime(file.parent)
    return model


def keep_trunk(key: str, model: ov.Model) -> bool:
    """Keep a model under this key; false, and nothing is kept, if the disk does not take it.

    It is a convenience: what cannot be kept is made again next time.
    """
    place = trunks_folder() / key
    try:
        if not place.exists():
            _write(model, place)
        _make_room(place)
    except (OSError, RuntimeError) as problem:
        if not place.is_dir():
            _log.warning("The converted trunk cannot be kept in %s: %s", place, problem)
            return False
        _log.info("Old trunks beside %s cannot be looked through: %s", place, problem)
    return True


def _can_be_read(place: Path) -> bool:
    try:
        for file in place.iterdir():
            with file.open("rb") as content:
                content.read(1)
    except OSError:
        return False
    return True


def _write(model: ov.Model, place: Path) -> None:
    trunks_folder().mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".", suffix=".partial", dir=trunks_folder()))
    try:
        ov.save_model(model, part / "model.xml", compress_to_fp16=False)
        part.rename(place)  # fails where another process has just kept it
    finally:
        shutil.rmtree(part, ignore_errors=True)


def note_trust(key: str, engine: str) -> None:
    """Remember that an engine was trusted with a kept trunk on this processor.

    Args:
        key: Of the trunk.
        engine: The key of the engine's spec, and the processor.
    """
    place = trunks_folder() / key
    if not place.is_dir() or engine in (known := _trusted(place)):
        return
    with suppress(OSError), whole_file(place / TRUST) as file:  # not remembered: judged again
        file.write(json.dumps(sorted({*known, engine})).encode())


def is_trusted(key: str, engine: str) -> bool:
    """True if that engine was trusted with this trunk before, on this processor."""
    return engine in _trusted(trunks_folder() / key)


def _trusted(place: Path) -> list[str]:
    try:
        said = json.loads((place / TRUST).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return said if isinstance(said, list) else []


def kept_trunks() -> Iterator[tuple[Path, int]]:
    """The folder of each kept trunk with its bytes, the one used longest ago first.

    Files and folders of others (`Thumbs.db`, `.DS_Store`) are none, nor is what another process
    removes meanwhile.
    """
    found = []
    for model in trunks_folder().glob("*/model.xml"):
        with suppress(OSError):
            if not model.parent.name.startswith("."):
                found.append((model.parent.stat().st_mtime, model.parent))
    yield from ((place, bytes_of(place)) for _, place in sorted(found))


def bytes_of(place: Path, pattern: str = "*") -> int:
    """Bytes of a file, or of the files in a folder, as far as they are there when looked at."""
    total = 0
    for path in place.glob(pattern) if place.is_dir() else (place,):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _make_room(newest: Path) -> None:
    kept = list(kept_trunks())
    total = sum(size for _, size in kept)
    for place, size in kept:
        if total <= LARGEST_BYTES:
            return
        if place != newest:
            shutil.rmtree(place, ignore_errors=True)
            total -= size
