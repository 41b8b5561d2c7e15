"""The shapes of photos as arrays, as types; `tensors.py` has those of what networks compute.

Axes: `n` photos, `h w c` pixels and channels.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

ImageArray: TypeAlias = UInt8[np.ndarray, "h w 3"]
"""One decoded photo: upright, RGB, at its own size."""

Pixels: TypeAlias = UInt8[np.ndarray, "n h w c"]
"""Photos resized and cropped for a network, not yet normalised; what the trunk is fed."""
