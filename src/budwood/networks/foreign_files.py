"""Files that are given as weights and hold none that can be read: what they are, what to do."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

START = 512
"""Bytes of a file by which its kind is told."""


@dataclass(frozen=True)
class Kind:
    """What a file is instead of a file of weights."""

    what: str
    """With its article: `a web page`."""
    next: str
    """The next step."""


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
    """What a file is, if it is of a kind that surely holds no weights for PyTorch.

    Args:
        path: The file, for its ending, and to look into a zip archive.
        start: Its first bytes.

    Example:
        >>> kind_of(Path("net.pth"), b"version https://git-lfs.github.com/spec/v1").what
        'a Git LFS pointer: a few lines of text that stand for the file'
    """
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
