"""Small pictures for a page: thumbnails of photos, and maps of where a network looked on them."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from budwood.errors import ImageError
from budwood.evaluation.attribution import last_map_layer, where_it_looked
from budwood.image_classifier import ImageClassifier
from budwood.images.contents import read, workers
from budwood.images.decode import turn_of
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing, luma
from budwood.models.prepared import normalise

STRENGTH = 0.7
"""How much of the colours is laid over the photo where the map is strongest."""

_INFERNO = np.frombuffer(
    bytes.fromhex(
        "0000040403120b0724150b37210c4a2e0a5a3c09654a0c6b57106d63146e70196e"
        "7d1e6d89226a962766a32b61af315cbb3755c63e4dd14644db4f3be35932eb6528"
        "f1711ef67f14f98d0afb9c06fcab0ffbba1ff9ca32f5d949f2e865f3f586fcffa4"
    ),
    np.uint8,
).reshape(-1, 3)
"""The colour map of that name, from black over purple and orange to pale yellow, evenly spaced."""


def overlaid(pixels: NDArray[np.uint8], seen: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A photo `h w c` in grey with a map `h w` of 0 to 1 laid over it in colours, `h w 3`.

    The photo loses its own colours, so that those of the map are not taken for them.

    Example:
        >>> grey = np.full((2, 2, 1), 100, np.uint8)
        >>> overlaid(grey, np.zeros((2, 2)))[0, 0].tolist()  # where nothing was seen: the image
        [100, 100, 100]
    """
    places = np.linspace(0, 1, len(_INFERNO))
    colours = np.stack([np.interp(seen, places, c) for c in _INFERNO.T], axis=-1)
    grey = luma(pixels) if pixels.shape[2] == 3 else pixels
    image = np.broadcast_to(grey, (*pixels.shape[:2], 3)).astype(np.float64)
    share = STRENGTH * seen[..., None]
    return np.asarray(((1 - share) * image + share * colours).round().astype(np.uint8))


def tiled(tiles: NDArray[np.floating], most: int = 256, least: int = 32) -> NDArray[np.uint8]:
    """Tiles `n c h w` of 0 to 1 side by side in one picture `h w 3`."""
    n, _, height, width = tiles.shape
    n = min(n, most)
    across = int(np.ceil(np.sqrt(n)))
    zoom = max(1, -(-least // width))
    tall, wide = height * zoom + 2, width * zoom + 2
    sheet = np.full((-(-n // across) * tall, across * wide, 3), 255, np.uint8)
    for i in range(n):
        tile = np.moveaxis((tiles[i] * 255).round().astype(np.uint8), 0, 2)
        top, left = i // across * tall, i % across * wide
        large = tile.repeat(zoom, 0).repeat(zoom, 1)
        sheet[top : top + height * zoom, left : left + width * zoom] = large
    return sheet


SIDE = 160
"""Pixels; the middle of a photo is shown as a square."""
QUALITY = 72
SMALL = Preprocessing(size=(SIDE, SIDE), resize=SIDE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def thumbnails(paths: Iterable[Path], depth: Depth | None = None) -> dict[Path, str]:
    """The photos that can be read, as addresses to put into a page."""
    small = replace(SMALL, depth=depth or Depth())
    wanted = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(workers()) as pool:
        made = pool.map(partial(_thumbnail, small), wanted)
        return {path: address for path, address in zip(wanted, made, strict=True) if address}


def _thumbnail(small: Preprocessing, path: Path) -> str | None:
    try:
        with turn_of(path):
            return address_of(small.pixels(read(path)))
    except ImageError:  # it has gone or is torn by now; the page says so in its place
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


AT_ONCE = 4
"""Photos in memory at once."""


def maps_of(
    model: ImageClassifier, paths: Sequence[Path], classes: Sequence[int]
) -> tuple[str, dict[Path, str]]:
    """The layer that is shown, and each photo with its map laid over it as an address."""
    layer, found = "", {}
    for start in range(0, len(paths), AT_ONCE):
        some = paths[start : start + AT_ONCE]
        pixels = np.stack([model.preprocessing.pixels(read(path)) for path in some])
        images = normalise(torch.from_numpy(pixels), model.preprocessing)
        layer = layer or last_map_layer(model.network_, images)
        chosen = classes[start : start + AT_ONCE]
        seen = where_it_looked(model.network_, images, layer, chosen).numpy()
        for path, image, where in zip(some, pixels, seen, strict=True):
            picture = Image.fromarray(overlaid(image, where)).resize((SIDE, SIDE))
            found[path] = address_of(np.asarray(picture))
    return layer, found
