"""Golden images: drawn pictures that a capsule carries, to prove itself by."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from budwood.images.decode import decode


def draw_golden_images(count: int = 8, seed: int = 0) -> list[bytes]:
    """Pictures to test a network with: drawn shapes and colours, nobody's photos, as PNG bytes."""
    rng = np.random.default_rng(seed)
    return [_drawn(rng) for _ in range(count)]


def only_pixels(image: bytes) -> bytes:
    """A photo as PNG bytes, upright, without anything that its file says besides: no place, date,
    camera, thumbnail or comment.
    """
    out = io.BytesIO()
    Image.fromarray(decode(image)).save(out, "PNG")
    return out.getvalue()


def _drawn(rng: np.random.Generator) -> bytes:
    """A colour gradient with shapes and hairlines on it, some of it blurred, 320 x 280.

    The hairlines are for the resampling: pictures without fine detail hardly tell one from another.
    """
    corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), np.uint8))
    image = corners.resize((320, 280), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        x, y = (int(v) for v in rng.integers(-20, 280, 2))
        w, h = (int(v) for v in rng.integers(8, 160, 2))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        shape = pen.ellipse if rng.random() < 0.5 else pen.rectangle
        shape((x, y, x + w, y + h), fill=(red, green, blue))
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 60))):
        x, y, right, down = (int(v) for v in rng.integers(0, 320, 4))
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        pen.line((x, y, right, down), fill=(red, green, blue))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
