"""The shapes of what flows through the pipeline, as types; checked while testing, free otherwise.

Axes: `n` photos, `c h w` channels and pixels, `d` feature width, `k` classes.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Photo: TypeAlias = UInt8[Tensor, "3 h w"]
"""One decoded photo: upright, RGB, at its own size."""

Pixels: TypeAlias = UInt8[np.ndarray, "n h w c"]
"""Photos resized and cropped for a network, not yet normalised; what the trunk is fed."""

Images: TypeAlias = Float[Tensor, "n c h w"]
"""Normalised network input."""

Features: TypeAlias = Float[Tensor, "n d"]
"""One row a photo: the input of the last linear layer."""

Logits: TypeAlias = Float[Tensor, "n k"]
"""One score a class."""

Labels: TypeAlias = Int[Tensor, " n"]
"""Class indices."""
