"""Which part of a photo has to be resized so that its middle can be cropped."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Middle:
    """How one side of a photo is brought to the size of the crop."""

    kept: slice
    """The pixels that are resized at all."""
    resized: int
    """How many they become."""
    crop: slice
    """Which of these are the crop."""


def find_middle(side: int, resized: int, crop: int) -> Middle:
    """The plain way, all of the side resized and its middle cropped, unless that is a waste.

    Resizing 3000 x 2 pixels to a shorter side of 224 would make 336000 x 224 of them, of which the
    crop keeps 224. So of a long side only the middle is resized: as many pixels as come nearest to
    the same scale and leave the crop where the plain way has it.
    """
    start, scale = round((resized - crop) / 2), resized / side
    margin = 4 * max(1, math.ceil(1 / scale))  # more than the reach of any interpolation
    least = math.ceil(crop / scale) + 2 * margin
    if resized <= 4 * crop or least >= side:
        return Middle(slice(None), resized, slice(start, start + crop))

    def cut_off_after_resizing(kept: int) -> int:  # at either end
        return round((resized - kept * scale) / 2)

    kept = min(
        range(least + (side - least) % 2, min(side, least + 64) + 1, 2),
        key=lambda kept: abs(resized - 2 * cut_off_after_resizing(kept) - kept * scale),
    )
    cut_off, start = (side - kept) // 2, start - cut_off_after_resizing(kept)
    return Middle(
        slice(cut_off, side - cut_off),
        resized - 2 * cut_off_after_resizing(kept),
        slice(start, start + crop),
    )
