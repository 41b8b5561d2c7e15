"""Photos small enough to lie in a page: `data:` addresses of JPEG files."""

from base64 import b64encode
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from budwood.errors import PhotoError
from budwood.images.depth import Depth
from budwood.images.gate import turn_of
from budwood.images.preprocessing import Preprocessing
from budwood.images.reading import read, workers

SIDE = 160
"""Pixels; the middle of a photo is shown as a square."""
QUALITY = 72
SMALL = Preprocessing(size=(SIDE, SIDE), resize=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def thumbnails(paths: Iterable[Path], depth: Depth | None = None) -> dict[Path, str]:
    """The photos that can be read, as addresses to put into a page.

    Args:
        paths: Photos.
        depth: What is black and white in those of more than 8 bits.
    """
    small = replace(SMALL, depth=depth or Depth())
    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(workers()) as pool:
        made = pool.map(partial(_thumbnail, small), wanted)
        return {path: address for path, address in zip(wanted, made, strict=True) if address}


def _thumbnail(small: Preprocessing, path: Path) -> str | None:
    try:
        with turn_of(path):
            return address_of(small.pixels(read(path)))
    except PhotoError:  # it has gone or is torn by now; the page says so in its place
        return None


def address_of(pixels: NDArray[np.uint8]) -> str:
    """A picture `h w 3` as an address that holds it.

    Example:
        >>> address_of(np.zeros((8, 8, 3), np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"
