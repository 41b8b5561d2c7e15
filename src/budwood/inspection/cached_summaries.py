"""Summaries kept in BUDWOOD_HOME once they were made, for building takes seconds; no torch here."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from budwood.files import home, whole_file
from budwood.inspection.layer_rows import LayerRow
from budwood.inspection.summary import Summary
from budwood.machine import installed_version


def cached_summary(about: object, make: Callable[[], Summary]) -> Summary:
    """The summary of a network, made if it is not kept already, or not whole."""
    file = home() / "summaries" / f"{_key(about)}.json"
    with suppress(OSError, ValueError):  # damaged: the digest is not that of the rest
        digest, content = file.read_bytes().split(b"\n", 1)
        if digest.decode() == sha256(content).hexdigest():
            return _read(json.loads(content))
    summary = make()
    content = json.dumps(asdict(summary)).encode()
    with suppress(OSError), whole_file(file) as kept:  # it can do without
        kept.write(sha256(content).hexdigest().encode() + b"\n" + content)
    return summary


def _key(about: object) -> str:
    """What a summary depends on: the network, the libraries' versions, our own code, timm's
    settings."""
    versions = [installed_version(name) for name in ("budwood", "timm", "torchvision", "torch")]
    ours = max(file.stat().st_mtime_ns for file in Path(__file__).parents[1].rglob("*.py"))
    settings = sorted(item for item in os.environ.items() if item[0].startswith("TIMM_"))
    return sha256(json.dumps([about, versions, ours, settings]).encode()).hexdigest()[:32]


def _read(kept: dict[str, Any]) -> Summary:
    rows = tuple(LayerRow(**_plain(row)) for row in kept.pop("rows"))
    return Summary(**_plain(kept), rows=rows)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where shapes are tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
