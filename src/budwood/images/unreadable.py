"""The errors of photos that cannot be read, each with its next step."""

from budwood.errors import PhotoError

TRUNCATED = "The photo ends too early (truncated)."


def undecodable(reason: str, kind: str = "photo") -> PhotoError:
    """The error of a photo that looks like one but that no decoder reads.

    Args:
        reason: A decoder's word.
        kind: What the file is, such as `TIFF (640 x 480, 12 bits a channel)`.
    """
    return PhotoError(
        f"The {kind} is damaged or of a rare kind: {reason.rstrip('.')}.",
        next="If other programs show it, convert it, for example: magick FILE out.png.",
    )


def not_a_photo(data: bytes) -> PhotoError:
    """What a file is that does not begin as a photo does."""
    if not data:
        return PhotoError("The photo is empty.", next="Copy the file again.")
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not any(data):
        return PhotoError("The photo holds nothing but zeros.", next="Copy the file again.")
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return PhotoError(
            "The file is a web page (HTML), not a photo.",
            next="Its download went wrong: fetch the photo itself.",
        )
    if data[4:8] == b"ftyp":
        return PhotoError(
            "The file is a HEIC or AVIF photo or a film, which is not read.",
            next="Save it as JPEG.",
        )
    if _is_text(data[:4096]):
        return PhotoError("The file is text, not a photo.", next="Remove it or fetch the photo.")
    return PhotoError(
        f"The file is not a photo: it begins with the bytes {data[:4].hex(' ')}.",
        expected="JPEG, PNG, WebP, GIF, BMP and TIFF are read.",
    )


def _is_text(start: bytes) -> bool:
    controls = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
    return not set(start) & set(controls) and b"\x7f" not in start
