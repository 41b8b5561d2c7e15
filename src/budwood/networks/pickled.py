"""What `torch.save()` wrote, read without running code.

A pickle names functions, and whoever loads it calls them. Here nothing that a file names is called,
but what rebuilds tensors: the values that training scripts save beside their weights (paths, dates,
NumPy's numbers) become a `PlainValue` each, and any other name is an error.
"""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from budwood.errors import WeightsError


class PlainValue:
    """Stands for a value beside the weights, which nobody needs; made of anything, it keeps none.

    NumPy's own constructors are not called: with made-up bytes they could be led astray.
    """

    def __new__(cls, *unread: object) -> "PlainValue":
        return super().__new__(cls)

    def __setstate__(self, unread: object) -> None:
        """Nothing is kept."""


def _table(*unread: object) -> dict[object, object]:
    return {}


def _list(*unread: object) -> list[object]:
    return []


_PLAIN: dict[str, tuple[str, ...]] = {
    "argparse": ("Namespace",),
    "builtins": (
        *("bool", "bytes", "dict", "float", "frozenset", "int", "list", "range", "slice"),
        *("str", "tuple"),
    ),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "numpy": ("dtype", "ndarray"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "torch.torch_version": ("TorchVersion",),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
}
_PLAIN["pathlib._local"] = _PLAIN["pathlib"]  # what Python 3.13 calls it
_SAFE: list[tuple[Callable[..., Any], str]] = [
    *((PlainValue, f"{module}.{name}") for module, names in _PLAIN.items() for name in names),
    (_table, "collections.defaultdict"),
    (_list, "collections.deque"),
]


def read_pickled(path: Path) -> object:
    """What `torch.save()` put into a file; tensors of a zipped one are mapped from the disk.

    Raises:
        WeightsError: If it is damaged, or names anything but tensors and plain values.
    """
    is_zipped = zipfile.is_zipfile(path)
    if is_zipped and _is_torchscript(path):
        raise not_loaded(path, "it is a TorchScript program", "torch.jit.load({file}, 'cpu')")
    try:
        with torch.serialization.safe_globals(_SAFE):  # type: ignore[arg-type]  # names, too
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipped)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|class|function|type) ([\w.]+)", str(error))
        if named is None:
            raise damaged(path, error) from None
        raise not_loaded(
            path,
            f"besides plain values it names {named[1]}",
            "torch.load({file}, 'cpu', weights_only=False)",
        ) from None
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, OSError) as error:
        raise damaged(path, error) from None


def not_loaded(path: Path, reason: str, load: str) -> WeightsError:
    """The error of a file that only running its code would open, with a way out.

    Args:
        path: The file.
        reason: Why it is not loaded.
        load: The Python that loads it, with `{file}` for its path.
    """
    code = "; ".join(
        (
            f"import {load.split('.')[0]}, torch" if load[:5] != "torch" else "import torch",
            f"c = {load.format(file=repr(path.as_posix()))}",
            "c = c.get('state_dict', c.get('model', c)) if isinstance(c, dict) else c",
            "c = c.state_dict() if hasattr(c, 'state_dict') else c",
            f"torch.save(dict(c), {f'{path.stem}-weights.pth'!r})",
        )
    )
    return WeightsError(
        f"The file {path} is not loaded: {reason}. Nothing that a file names is run.",
        expected="A file of weights is a .safetensors file, or what "
        "torch.save(network.state_dict(), ...) writes.",
        next=f'If you trust the file, take the weights out of it yourself: python -c "{code}"',
        file=path,
    )


def damaged(path: Path, error: Exception) -> WeightsError:
    """The error of a file that cannot be read."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return WeightsError(
        f"The file {path} is damaged, cut short or holds no weights: {reason}",
        next="Download or copy it again.",
        file=path,
    )


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
