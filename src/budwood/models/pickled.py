"""What `torch.save()` wrote, read without running code, and what else is given as weights.

Nothing that a pickle names is called, but what rebuilds tensors: values that training scripts save
beside their weights become a `PlainValue` each, and any other name is an error.
"""

import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from budwood.errors import WeightsError


class PlainValue:
    """Stands for a value beside the weights; made of anything, it keeps nothing.

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
    """What `torch.save()` put into a file; tensors of a zipped one are mapped from the disk."""
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
    """The error of a file that only running its code would open, with the Python that does so."""
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


START = 512
"""Bytes of a file by which its kind is told."""


@dataclass(frozen=True)
class Kind:
    """What a file is instead of a file of weights, with its article, and the next step."""

    what: str
    next: str


_LFS = Kind(
    "a Git LFS pointer: a few lines of text that stand for the file",
    "Fetch the file itself: run `git lfs install` and `git lfs pull` in the repository.",
)
_PAGE = Kind(
    "a web page, as servers send instead of a download",
    "Open the address in a browser and download the file itself.",
)
_CONVERT = "Convert its weights with the library that made it, to a .safetensors file."
_KERAS = Kind("a Keras model", f"{_CONVERT} Budwood takes weights of PyTorch networks.")
_UNPACK = "Unpack it, and give the file of weights that is in it."

_BY_START = (
    (b"version https://git-lfs.github.com/spec/", _LFS),
    (b"<!doctype", _PAGE),
    (b"<html", _PAGE),
    (b"<?xml", Kind("an XML text", "Give a .safetensors, .pth or .pt file.")),
    (b"\x89hdf\r\n\x1a\n", Kind("an HDF5 file, as Keras and TensorFlow write", _CONVERT)),
    (b"\x93numpy", Kind("a NumPy array", _CONVERT)),
    (b"gguf", Kind("a GGUF file, which holds quantised language models", _CONVERT)),
    (b"\x1f\x8b", Kind("a gzip archive", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", _UNPACK)),
    (b"bzh", Kind("a bzip2 archive", _UNPACK)),
    (b"\xfd7zxz\0", Kind("an xz archive", _UNPACK)),
    (b"\xff\xd8\xff", Kind("a JPEG photo", "Give a .safetensors, .pth or .pt file.")),
    (b"\x89png", Kind("a PNG picture", "Give a .safetensors, .pth or .pt file.")),
)
"""In lower case."""
_BY_SUFFIX = {
    ".onnx": Kind("an ONNX model", _CONVERT),
    ".tflite": Kind("a TensorFlow Lite model", _CONVERT),
    ".pb": Kind("a TensorFlow model", _CONVERT),
    ".msgpack": Kind("a Flax checkpoint", _CONVERT),
    ".json": Kind("a JSON text", "Give the .safetensors, .pth or .pt file that lies beside it."),
}


def kind_of(path: Path, start: bytes) -> Kind | None:
    """What a file with these first bytes is, if it surely holds no weights for PyTorch."""
    lowered = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for begins, kind in _BY_START:
        if lowered.startswith(begins):
            return kind
    if start[4:8] == b"TFL3":
        return _BY_SUFFIX[".tflite"]
    if start[257:262] == b"ustar":
        return Kind("a tar archive", _UNPACK)
    if start[:4] == b"PK\x03\x04" and zipfile.is_zipfile(path):
        return _archive(path)
    may_hold_some = start[:1] == b"\x80" or start[8:9] == b"{"  # a pickle, a .safetensors file
    return None if may_hold_some else _BY_SUFFIX.get(path.suffix.lower())


def _archive(path: Path) -> Kind | None:
    """What a zip archive is; None of one that torch.save() or torch.jit made."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    if any(name.rsplit("/", 1)[-1] == "data.pkl" for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return Kind("a NumPy archive (.npz)", _CONVERT)
    if "model.weights.h5" in names:
        return _KERAS
    inside = f" that holds {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else "")
    return Kind(f"a zip archive{inside if names else ' with nothing in it'}", _UNPACK)
