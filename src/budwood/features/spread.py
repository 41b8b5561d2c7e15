"""How far two results of a network differ, measured by how far its photos differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-6
"""A spread of no more than this share of the values is what is left of rounding in fp32."""


def spread_error(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """How far two results differ, relative to how far the photos differ among themselves.

    The plain relative norm hides a wrong result behind what all photos share, and random weights
    give values of 1e-12 that no absolute tolerance can judge.

    Args:
        reference: `n ...`, the result to agree with.
        candidate: The same shape.

    Example:
        >>> reference = np.array([[100.0, 1.0], [100.0, 2.0]])
        >>> round(spread_error(reference, reference + [[0.0, 0.1], [0.0, 0.1]]), 3)
        0.2
    """
    f = reference.astype(np.float64)
    g = candidate.astype(np.float64)
    if f.shape != g.shape or not np.isfinite(g).all():
        return float("inf")
    difference, spread = np.linalg.norm(f - g), np.linalg.norm(f - f.mean(axis=0))
    size = np.linalg.norm(f)
    if spread <= ROUNDING * size:
        return 0.0 if difference <= 1e-3 * size else float("inf")
    return float(difference / spread)
