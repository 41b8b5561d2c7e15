"""When, and with which camera, a photo was taken: what its EXIF data say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from PIL import ExifTags, Image

from budwood.images.pillow import without_pillow_warnings

PAUSE = 5.0
"""Seconds; photos of one camera that follow each other more closely are a burst."""
_WHEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)
HEAD = 2**18
"""Bytes of a file that EXIF data of a JPEG begin within."""
_SEGMENT = 2**16


@dataclass(frozen=True)
class Moment:
    """Where a photo stands in what its camera took."""

    camera: str
    """Maker, model and serial number, as far as they are there."""
    seconds: float
    """On the camera's own clock."""


def moment_of(data: bytes) -> Moment | None:
    """What the EXIF data of a photo's file say; None if they do not name a time.

    Args:
        data: The bytes of the file.
    """
    try:
        exif, details = _exif(data)
    except Exception:  # Pillow's readers raise nearly every class there is
        return None
    names = [
        exif.get(ExifTags.Base.Make),
        exif.get(ExifTags.Base.Model),
        details.get(ExifTags.Base.BodySerialNumber),
    ]
    camera = " ".join(text for text in map(_text, names) if text)
    # Without a camera the last of these is when some program wrote the file.
    tags = _WHEN if camera else _WHEN[:-1]
    taken = next((found[tag] for tag in tags for found in (details, exif) if tag in found), None)
    try:
        when = datetime.strptime(_text(taken), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = _text(details.get(ExifTags.Base.SubsecTimeOriginal))
    seconds = (when - datetime(1970, 1, 1)).total_seconds()
    if fraction.isdigit():
        seconds += float(f"0.{fraction}")
    return Moment(camera, seconds)


def bursts(moments: Sequence[Moment | None], pause: float = PAUSE) -> list[list[int]]:
    """Photos of one camera that follow each other closely, by position, in order of time.

    Args:
        moments: Of each photo; None where it is not known.
        pause: Seconds without a photo that end a burst.

    Example:
        >>> clock = [Moment("a", 0.0), Moment("a", 100.0), Moment("a", 2.0), Moment("b", 1.0), None]
        >>> bursts(clock)
        [[0, 2]]
    """
    known = [(m.camera, m.seconds, i) for i, m in enumerate(moments) if m is not None]
    found: list[list[int]] = []
    before: tuple[str, float] | None = None
    for camera, seconds, i in sorted(known):
        is_next = before is not None and before[0] == camera and seconds - before[1] <= pause
        if is_next:
            found[-1].append(i)
        else:
            found.append([i])
        before = camera, seconds
    return [burst for burst in found if len(burst) > 1]


def _exif(data: bytes) -> tuple[dict[int, Any], dict[int, Any]]:
    """What is said of the photo, and what of how it was taken."""
    if data.startswith(b"\xff\xd8"):  # a JPEG need not be opened for it, which takes long
        start = data.find(b"Exif\0\0", 0, HEAD)
        if start < 0:
            return {}, {}
        exif = Image.Exif()
        exif.load(data[start : start + _SEGMENT])
        return dict(exif), exif.get_ifd(ExifTags.IFD.Exif)
    with without_pillow_warnings(), Image.open(BytesIO(data)) as photo:
        exif = photo.getexif()
        return dict(exif), exif.get_ifd(ExifTags.IFD.Exif)


def _text(value: object) -> str:
    return str(value).strip("\0 ") if value is not None else ""
