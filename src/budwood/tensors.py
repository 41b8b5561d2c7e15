"""The shapes of what networks compute, as types; `arrays.py` has those of photos.

Axes: `n` photos, `c h w` channels and pixels, `d` feature width, `k` classes.
"""

from typing import TypeAlias

from jaxtyping import Float, Int
from torch import Tensor

Images: TypeAlias = Float[Tensor, "n c h w"]
"""Normalised network input."""

Features: TypeAlias = Float[Tensor, "n d"]
"""One row a photo: the input of the last linear layer."""

Logits: TypeAlias = Float[Tensor, "n k"]
"""One score a class."""

Labels: TypeAlias = Int[Tensor, " n"]
"""Class indices."""
