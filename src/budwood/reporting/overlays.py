"""Maps laid over photos, and many small pictures side by side in one."""

import numpy as np
from numpy.typing import NDArray

from budwood.images.preprocessing import luma

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
        >>> overlaid(grey, np.zeros((2, 2)))[0, 0].tolist()  # where nothing was seen: the photo
        [100, 100, 100]
    """
    places = np.linspace(0, 1, len(_INFERNO))
    colours = np.stack([np.interp(seen, places, c) for c in _INFERNO.T], axis=-1)
    grey = luma(pixels) if pixels.shape[2] == 3 else pixels
    photo = np.broadcast_to(grey, (*pixels.shape[:2], 3)).astype(np.float64)
    share = STRENGTH * seen[..., None]
    return np.asarray(((1 - share) * photo + share * colours).round().astype(np.uint8))


def tiled(tiles: NDArray[np.floating], most: int = 256, least: int = 32) -> NDArray[np.uint8]:
    """Tiles `n c h w` of 0 to 1 side by side in one picture `h w 3`.

    Args:
        tiles: One or three channels each.
        most: Tiles that are shown at most.
        least: Pixels that each is wide at least.
    """
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
