"""The command that repeats a run."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from budwood.request import Request

_SAID_OTHERWISE = ("data", "graft", "recipe", "surgery", "out", "report")


def command_of(request: Mapping[str, Any]) -> str:
    """What to type to do the same again.

    Args:
        request: As it stands in `config.json`.

    Example:
        >>> command_of({"data": "photos", "head": "mlp:8", "surgery": [["unfreeze", "layer4*"]]})
        "budwood train photos --head mlp:8 --unfreeze 'layer4*'"
    """
    usual = Request(data=Path(request["data"])).to_json()
    words = ["budwood", "train", str(request["data"])]
    if request.get("recipe"):
        words += ["--recipe", str(request["recipe"])]
    for name, value in request.items():
        if name in _SAID_OTHERWISE or value is None or value == usual.get(name):
            continue
        if request.get("recipe") and name == "model" and request.get("graft"):
            continue
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    for action, pattern in request.get("surgery", ()):
        words += [f"--{action}", str(pattern)]
    return shlex.join(words)
