"""Damaged photos, made by code: 20 pictures in as many formats, each changed in many ways.

The suite decodes a part of them. All of them, as a folder with class folders for `budwood train`:

    python tests/images/corpus.py FOLDER [SEED]
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

FORMATS = {
    "baseline.jpg": ("RGB", "JPEG", {}),
    "progressive.jpg": ("RGB", "JPEG", {"progressive": True}),
    "grey.jpg": ("L", "JPEG", {}),
    "ink.jpg": ("CMYK", "JPEG", {}),
    "profile.jpg": ("RGB", "JPEG", {"icc_profile": b"x" * 300, "comment": b"a comment"}),
    "colour.png": ("RGB", "PNG", {"icc_profile": b"x" * 300}),
    "grey16.png": ("I;16", "PNG", {}),
    "palette.png": ("P", "PNG", {"transparency": 3}),
    "alpha.png": ("RGBA", "PNG", {}),
    "palette.gif": ("P", "GIF", {}),
    "lossy.webp": ("RGB", "WEBP", {}),
    "lossless.webp": ("RGBA", "WEBP", {"lossless": True}),
    "colour.bmp": ("RGB", "BMP", {}),
    "palette.bmp": ("P", "BMP", {}),
    "colour.tif": ("RGB", "TIFF", {}),
    "fax.tif": ("1", "TIFF", {"compression": "group4"}),
    "lzw.tif": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "deflate.tif": ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
}
"""Name, mode, format and options of what Pillow writes; two more are written by tifffile."""


def images(seed: int = 0) -> dict[str, bytes]:
    """Each format's file, by name; each of another picture."""
    found = {}
    for i, (name, (mode, format, options)) in enumerate(FORMATS.items()):
        image = picture(seed + i)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        file = io.BytesIO()
        (image if mode == "I;16" else image.convert(mode)).save(file, format, **options)
        found[name] = file.getvalue()
    deep = np.asarray(picture(seed + 90)).astype(np.uint16) * 257
    planes = deep.transpose(2, 0, 1)
    split = {"photometric": "rgb", "planarconfig": "separate"}
    for name, values, options in (
        ("planes16.tif", planes, split),
        ("float.tif", (deep / 65535).astype(np.float32), {"photometric": "rgb", "bigtiff": True}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, values, **options)
        found[name] = file.getvalue()
    return found


def picture(seed: int, height: int = 60, width: int = 84) -> Image.Image:
    """Smooth colours, an edge, some noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    a, b, c = random.uniform(0.5, 3, 3)
    colours = np.stack([x * a, y * b, 128 + 90 * np.sin((x + c * y) / 9)], -1)
    colours[height // 3 : height // 2, width // 4 : width // 2] = random.integers(0, 255, 3)
    return Image.fromarray((colours + random.normal(0, 5, colours.shape)).clip(0, 255).astype("u1"))


def mutations(number: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """So many damaged files with their names; the same for the same seed."""
    random = np.random.default_rng(seed)
    sound = list(images(seed).items())
    kinds = list(KINDS.items())
    for i in range(number):
        name, data = sound[i % len(sound)]
        kind, change = kinds[int(random.integers(len(kinds)))]
        yield f"{i:04}-{kind}-{name}", change(data, random)


def _flip(data: bytes, random: np.random.Generator, within: int | None = None) -> bytes:
    changed = bytearray(data)
    for at in random.integers(0, min(within or len(data), len(data)), random.integers(1, 9)):
        changed[at] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _flip_in_header(data: bytes, random: np.random.Generator) -> bytes:
    return _flip(data, random, within=64)


def _cut(data: bytes, random: np.random.Generator) -> bytes:
    return data[: int(random.integers(1, len(data)))]


def _cut_end(data: bytes, random: np.random.Generator) -> bytes:
    return data[: -int(random.integers(1, 20))]


def _lose(data: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(len(data))), int(random.integers(1, 200))
    return data[:start] + data[start + length :]


def _swap(data: bytes, random: np.random.Generator) -> bytes:
    a, b, c = sorted(int(at) for at in random.integers(2, len(data), 3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _zeros(data: bytes, random: np.random.Generator) -> bytes:
    start, length = int(random.integers(len(data))), int(random.integers(1, 600))
    return data[:start] + b"\0" * len(data[start : start + length]) + data[start + length :]


def _junk(data: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(data)))
    return data[:at] + random.bytes(int(random.integers(1, 200))) + data[at:]


def _junk_before_end(data: bytes, random: np.random.Generator) -> bytes:
    return data[:-2] + random.bytes(int(random.integers(1, 200))) + data[-2:]


def _number(data: bytes, random: np.random.Generator) -> bytes:
    """A small, huge or negative number somewhere at the beginning, as a size or a tag may be."""
    at = int(random.integers(2, min(len(data), 400)))
    value = random.choice([b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff"])
    return data[:at] + bytes(value) + data[at + len(value) :]


def _tag(data: bytes, random: np.random.Generator) -> bytes:
    """Another tag, count or type in a TIFF's directory; elsewhere a number at the end."""
    start = int.from_bytes(data[4:8], "little") if data[:2] == b"II" else len(data) - 40
    at = max(2, min(len(data) - 2, start + int(random.integers(0, 120))))
    return data[:at] + random.bytes(1) + data[at + 1 :]


KINDS = {
    "flip": _flip,
    "header": _flip_in_header,
    "cut": _cut,
    "end": _cut_end,
    "lose": _lose,
    "swap": _swap,
    "zeros": _zeros,
    "junk": _junk,
    "before-end": _junk_before_end,
    "number": _number,
    "tag": _tag,
}
"""How photos are changed."""


def main(folder: Path, seed: int = 0) -> None:
    """2,000 damaged photos and 4,400 sound ones in two class folders."""
    for i, (name, data) in enumerate(mutations(2000, seed)):
        path = folder / "ab"[i % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for i in range(4400):
        picture(1000 + i, 40, 50).save(folder / "ab"[i % 2] / f"sound-{i:04}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
