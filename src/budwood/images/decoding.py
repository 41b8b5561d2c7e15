"""From the bytes of a photo's file to its pixels: upright, RGB, 8 bits, whatever it was."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from budwood.arrays import Photo
from budwood.errors import PhotoError
from budwood.images.depth import Depth, Samples
from budwood.images.gate import PIXELS, pixel_bytes
from budwood.images.headers import Decoded as Decoded
from budwood.images.headers import Header, read_header
from budwood.images.jpeg import decode_jpeg
from budwood.images.oddities import OnOddity
from budwood.images.pillow import decode_with_pillow, deep_samples
from budwood.images.png import SIDE_CHUNKS, without_side_chunks
from budwood.images.unreadable import undecodable

log = logging.getLogger("budwood")

MEGAPIXELS = 200
"""Photos with more are refused before they are decoded: a few kilobytes can unfold to terabytes."""


def decode(data: bytes, *, megapixels: float = MEGAPIXELS) -> Photo:
    """The photo as `h w 3`, 0 to 255: upright (EXIF), RGB, alpha laid over white.

    JPEG goes through libjpeg-turbo, the rest through Pillow, and through tifffile what Pillow does
    not read. Of an animation the first frame counts, of a TIFF the first page.
    Safe to call from many threads.

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
    on_oddity: OnOddity = lambda kind: None,
) -> Decoded:
    """What `decode` gives, in less time at a fraction of its size: if `reduce` allows it.

    Args:
        data: The bytes of the file.
        reduce: By how much a photo of that height and width may be reduced: 1, 2, 4 or 8. Only a
            JPEG is, and a very large photo.
        megapixels: The largest photo to accept, at its full size.
        depth: What is black and white in samples of more than 8 bits; None: their full range.
        on_oddity: Told what is odd about a photo that can be read.

    Raises:
        PhotoError: As `decode`.
    """
    with decoding(data, reduce, megapixels=megapixels, depth=depth, on_oddity=on_oddity) as decoded:
        return decoded


def deep_samples_of(data: bytes, *, megapixels: float = MEGAPIXELS) -> Samples | None:
    """The samples of a photo of more than 8 bits, as they are stored; None of any other.

    Raises:
        PhotoError: As `decode`.
    """
    with _one_boundary("photo"):
        header = read_header(data)
    if header.format not in ("png", "tiff"):
        return None
    with PIXELS.hold(pixel_bytes(header, 1)), _one_boundary(str(header)):
        return deep_samples(data, header, partial(_check_size, megapixels))


@contextmanager
def decoding(
    data: bytes,
    reduce: Callable[[int, int], int],
    *,
    megapixels: float = MEGAPIXELS,
    depth: Depth | None = None,
    on_oddity: OnOddity = lambda kind: None,
) -> Iterator[Decoded]:
    """What `decode_reduced` gives, to be used within: until then no more photos are decoded in
    other threads than there is room for."""

    check_size = partial(_check_size, megapixels)
    with _one_boundary("photo"):
        header = read_header(data)
        if header.height is not None and header.width is not None:
            check_size(header.height, header.width)
    reduction = 1
    if header.format == "jpeg":
        reduction = _stored_reduction(header, reduce, header.height or 0, header.width or 0)
    with PIXELS.hold(pixel_bytes(header, reduction)):
        with _one_boundary(str(header)):
            decoded = _decoded(
                data, header, reduction, check_size, reduce, depth or Depth(), on_oddity
            )
        yield decoded


def _check_size(megapixels: float, height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise PhotoError(
            f"The header of the photo says that it has {width} x {height} pixels.",
            next="Open it in an image program and save it again, or copy the file again.",
        )
    if height * width > megapixels * 1e6:
        raise PhotoError(
            f"The photo has {height * width / 1e6:,.0f} megapixels ({width} x {height}).",
            expected=f"At most {megapixels:,.0f} megapixels are accepted.",
            next="Scale it down.",
        )


@contextmanager
def _one_boundary(kind: str) -> Iterator[None]:
    """Whatever a decoder raises says that this photo cannot be read, and ends nothing else."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        log.debug("A photo cannot be decoded", exc_info=True)
        raise undecodable(f"{str(error).rstrip('.')} ({type(error).__name__})", kind) from None


def _decoded(
    data: bytes,
    header: Header,
    reduction: int,
    check_size: Callable[[int, int], None],
    reduce: Callable[[int, int], int],
    depth: Depth,
    on_oddity: OnOddity,
) -> Decoded:
    """The photo upright, by the decoder that it is for."""
    decoded = None
    oddity = header.oddity
    if header.format == "jpeg" and header.components in (1, 3, 4):
        found = decode_jpeg(data, header, reduction)
        if found is not None:
            photo, oddity = found
            decoded = Decoded(photo, header.height or 0, header.width or 0, reduction)
    if decoded is None:
        reduce_stored = partial(_stored_reduction, header, reduce)
        try:
            decoded = decode_with_pillow(data, header, check_size, reduce_stored, depth)
        except PhotoError:
            if header.format != "png" or (plain := without_side_chunks(data)) is None:
                raise
            decoded = decode_with_pillow(plain, header, check_size, reduce_stored, depth)
            oddity = SIDE_CHUNKS
    if oddity is not None:
        on_oddity(oddity)
    return _turned(decoded, header.orientation)


def _stored_reduction(
    header: Header, reduce: Callable[[int, int], int], height: int, width: int
) -> int:
    """By how much a photo stored like that is reduced."""
    if header.orientation >= 5:
        height, width = width, height
    reduction = reduce(height, width)
    # Turned, a last pixel that is there in part would come first: so here all must be whole.
    return reduction if header.orientation == 1 else math.gcd(reduction, height, width)


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
