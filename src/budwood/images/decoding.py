"""From the bytes of a photo's file to its pixels: upright, RGB, 8 bits, whatever it was."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import simplejpeg

from budwood.arrays import Photo
from budwood.errors import PhotoError
from budwood.images.depth import Depth
from budwood.images.headers import TRUNCATED, read_header, undecodable
from budwood.images.pillow import Samples, decode_with_pillow, deep_samples

MEGAPIXELS = 200
"""Photos with more are refused before they are decoded: a few kilobytes can unfold to terabytes."""


@dataclass(frozen=True)
class Decoded:
    """A photo, perhaps at a reduced size."""

    photo: Photo
    height: int
    """Of the photo at its full size, upright."""
    width: int
    """Likewise."""
    reduction: int = 1
    """How many pixels of the full size lie along one of `photo`; the last may be cut off."""


def decode(data: bytes, *, megapixels: float = MEGAPIXELS) -> Photo:
    """The photo as `h w 3`, 0 to 255: upright (EXIF), RGB, alpha laid over white.

    Plain JPEG goes through libjpeg-turbo, the rest through Pillow; `Header` says which is which.
    Of an animation the first frame counts. Safe to call from many threads.

    Args:
        data: The bytes of the file.
        megapixels: The largest photo to accept.

    Raises:
        PhotoError: If the bytes are no photo, end too early, are damaged, or unfold to too many
            pixels. The path is not known here: the caller adds `file`.
    """
    return decode_reduced(data, lambda height, width: 1, megapixels=megapixels).photo


def decode_reduced(
    data: bytes,
    reduce: Callable[[int, int], int],
    *,
    megapixels: float = MEGAPIXELS,
    depth: Depth | None = None,
) -> Decoded:
    """What `decode` gives, in less time at a fraction of its size: if `reduce` allows it.

    Args:
        data: The bytes of the file.
        reduce: By how much a photo of that height and width may be reduced: 1, 2, 4 or 8. Only a
            JPEG is.
        megapixels: The largest photo to accept, at its full size.
        depth: What is black and white in samples of more than 8 bits; None: their full range.

    Raises:
        PhotoError: As `decode`.
    """
    check_size = partial(_check_size, megapixels)
    header = read_header(data)
    decoded = None
    if header.height is not None and header.width is not None:
        check_size(header.height, header.width)
        if header.is_plain:
            reduction = _reduction(header.height, header.width, header.orientation, reduce)
            decoded = _decode_jpeg(data, header.height, header.width, reduction)
    if decoded is None:
        photo = decode_with_pillow(data, header.format, check_size, depth or Depth())
        decoded = Decoded(photo, *photo.shape[:2])
    return _turned(decoded, header.orientation)


def deep_samples_of(data: bytes, *, megapixels: float = MEGAPIXELS) -> Samples | None:
    """The samples of a photo of more than 8 bits, as they are stored; None of any other.

    Raises:
        PhotoError: As `decode`.
    """
    header = read_header(data)
    if header.format not in ("png", "tiff"):
        return None
    return deep_samples(data, header.format, partial(_check_size, megapixels))


def _check_size(megapixels: float, height: int, width: int) -> None:
    if height * width > megapixels * 1e6:
        raise PhotoError(
            f"The photo has {height * width / 1e6:,.0f} megapixels ({width} x {height}).",
            expected=f"At most {megapixels:,.0f} megapixels are accepted.",
            next="Scale it down.",
        )


def _reduction(height: int, width: int, orientation: int, reduce: Callable[[int, int], int]) -> int:
    """By how much a photo stored like that is reduced."""
    if orientation >= 5:
        height, width = width, height
    reduction = reduce(height, width)
    # Turned, a last pixel that is there in part would come first: so here all must be whole.
    return reduction if orientation == 1 else math.gcd(reduction, height, width)


def _decode_jpeg(data: bytes, height: int, width: int, reduction: int) -> Decoded | None:
    """The photo as stored; None if libjpeg-turbo will not judge it, so that Pillow has to."""
    least = (-(-height // reduction), -(-width // reduction)) if reduction > 1 else (0, 0)
    try:
        photo = simplejpeg.decode_jpeg(data, min_height=least[0], min_width=least[1])
    except ValueError as error:
        reason = str(error)
        if reason.startswith("Premature end"):
            raise PhotoError(TRUNCATED) from None
        if reason.startswith("Corrupt"):
            raise undecodable(reason) from None
        return None  # an odd sampling of colours, an unknown version: no damage
    return Decoded(photo, height, width, reduction)


def _turned(decoded: Decoded, orientation: int) -> Decoded:
    height, width = decoded.height, decoded.width
    if orientation >= 5:
        height, width = width, height
    return Decoded(upright(decoded.photo, orientation), height, width, decoded.reduction)


def upright(photo: Photo, orientation: int) -> Photo:
    """The photo turned and mirrored as its EXIF orientation asks.

    Example:
        >>> upright(np.zeros((20, 10, 3), np.uint8), 6).shape  # stored lying on its side
        (10, 20, 3)
    """
    if orientation >= 5:
        photo = photo.transpose(1, 0, 2)
    flipped = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}.get(orientation)
    return np.flip(photo, flipped) if flipped else photo
