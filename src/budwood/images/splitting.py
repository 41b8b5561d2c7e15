"""Setting photos aside for testing: stratified, seeded, the same on every machine.

Photos that are held out in turn are in `folds.py`.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from budwood.errors import ConfigError


def set_aside(
    labels: Sequence[Hashable],
    fraction: float,
    *,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> npt.NDArray[np.bool_]:
    """Which photos to set aside: of every class the same fraction, to within one photo.

    A class of two or more photos gives at least one and keeps at least one; a class of one keeps
    it. With `groups` (bursts of one scene, photos of one animal) a group is set aside as a whole or
    not at all, and class shares are as close as groups allow: to within the largest.

    Args:
        labels: The class of each photo.
        fraction: The share to set aside, between 0 and 1.
        seed: Another seed sets other photos aside; the same seed the same, on any platform.
        groups: The group of each photo; photos of one group share its name.

    Raises:
        ConfigError: If `fraction` or `seed` is out of range.

    Example:
        >>> set_aside(["cat", "cat", "cat", "cat", "dog"], 0.25).sum()
        np.int64(1)
    """
    if not 0 < fraction < 1:
        raise ConfigError(
            f"A fraction of {fraction} of the photos cannot be set aside.",
            expected="It must lie between 0 and 1, such as 0.2.",
        )
    if seed < 0:
        raise ConfigError(f"The seed is {seed}.", expected="It must be 0 or more.")
    members = _members(groups if groups is not None else range(len(labels)))
    total = Counter(labels)
    missing = {label: _wanted(number, fraction) for label, number in total.items()}
    spare = {label: number - 1 for label, number in total.items()}
    aside = np.zeros(len(labels), dtype=bool)
    # Doubles are the part of numpy's random stream that never changed; its shuffles have.
    order = np.random.default_rng(seed).random(len(members))
    # Not the largest group first: it would always be tested on, and never be trained on.
    for photos, _ in sorted(zip(members, order, strict=True), key=lambda m: m[1]):
        counts = Counter(labels[photo] for photo in photos)
        gain = sum(abs(missing[k]) - abs(missing[k] - number) for k, number in counts.items())
        if gain > 0 and all(number <= spare[k] for k, number in counts.items()):
            aside[photos] = True
            for label, number in counts.items():
                missing[label] -= number
                spare[label] -= number
    return aside


def _members(groups: Sequence[Hashable]) -> list[list[int]]:
    """The photos of each group, groups in order of first appearance."""
    members: dict[Hashable, list[int]] = {}
    for photo, group in enumerate(groups):
        members.setdefault(group, []).append(photo)
    return list(members.values())


def _wanted(number: int, fraction: float) -> int:
    return min(number - 1, max(1, round(number * fraction)))
