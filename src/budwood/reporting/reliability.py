"""The reliability that a run wrote down, read again."""

from collections.abc import Mapping
from typing import Any

from budwood.judging.calibration import Bin, Reliability


def told_reliability(calibration: Mapping[str, Any]) -> Reliability:
    """What `Reliability.to_json` gave, again.

    Args:
        calibration: The object `calibration` of `train --json`.

    Example:
        >>> import numpy as np
        >>> from budwood.judging.calibration import reliability
        >>> found = reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
        >>> told_reliability(found.to_json()) == found
        True
    """
    bins = tuple(
        Bin(b["low"], b["high"], b["photos"], b["confidence"], b["accuracy"], tuple(b["interval"]))
        for b in calibration["bins"]
    )
    return Reliability(bins, calibration["ece"], calibration["ece_by_chance"])
