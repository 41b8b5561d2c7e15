"""From the bytes of a photo's file to its pixels: upright, RGB, 8 bits, whatever it was."""

import re

import torch
import torchvision.io  # noqa: F401  (registers torch.ops.image)
from torch import Tensor

from budwood.errors import PhotoError
from budwood.images.headers import TRUNCATED, Header, read_header, undecodable
from budwood.images.pillow import decode_with_pillow
from budwood.tensors import Photo

MEGAPIXELS = 200
"""Photos with more are refused before they are decoded: a few kilobytes can unfold to terabytes."""

_RGB = 3
"""`torchvision.io.ImageReadMode.RGB`, which warns that it will move; the operators do not."""


def decode(data: bytes, *, megapixels: float = MEGAPIXELS) -> Photo:
    """The photo as `3 h w`, 0 to 255: upright (EXIF), RGB, alpha laid over white.

    Plain JPEG and WebP go through torchvision's operators, the rest through Pillow; `Header`
    says which is which. Of an animation the first frame counts. Safe to call from many threads.

    Args:
        data: The bytes of the file.
        megapixels: The largest photo to accept.

    Raises:
        PhotoError: If the bytes are no photo, end too early, or unfold to too many pixels. The
            path is not known here: the caller adds `file`.
    """

    def check_size(height: int, width: int) -> None:
        if height * width > megapixels * 1e6:
            raise PhotoError(
                f"The photo has {height * width / 1e6:,.0f} megapixels ({width} x {height}).",
                expected=f"At most {megapixels:,.0f} megapixels are accepted.",
                next="Scale it down.",
            )

    header = read_header(data)
    if header.height is not None and header.width is not None:
        check_size(header.height, header.width)
    if header.is_plain:
        photo = _decode_plain(data, header)
    else:
        photo = torch.from_numpy(decode_with_pillow(data, header.format, check_size))
        photo = photo.permute(2, 0, 1)  # h w 3 -> 3 h w
    return upright(photo, header.orientation)


def _decode_plain(data: bytes, header: Header) -> Tensor:
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        photo: Tensor = getattr(torch.ops.image, f"decode_{header.format}")(encoded, _RGB)
    except RuntimeError as error:
        reason = re.split(r"\.cpp:\d+, ", str(error))[-1].splitlines()[0]  # without the C++ file
        raise (PhotoError(TRUNCATED) if "truncated" in reason else undecodable(reason)) from None
    return photo


def upright(photo: Tensor, orientation: int) -> Tensor:
    """The photo turned and mirrored as its EXIF orientation asks.

    Example:
        >>> upright(torch.zeros(3, 20, 10), 6).shape  # stored lying on its side
        torch.Size([3, 10, 20])
    """
    if orientation >= 5:
        photo = photo.transpose(1, 2)
    flipped = {2: [2], 3: [1, 2], 4: [1], 6: [2], 7: [1, 2], 8: [1]}.get(orientation)
    return photo.flip(flipped) if flipped else photo
