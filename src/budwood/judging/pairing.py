"""Whether one classifier is better than another, asked of the same images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.intervals import difference_interval, sign_flip_p

LEVEL = 0.05
"""Below this probability a difference is called significant."""


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same images.

    Example:
        >>> first = np.repeat([True, True, False, False], [500, 4, 20, 26])
        >>> second = np.repeat([True, False, True, False], [500, 4, 20, 26])
        >>> print(paired(first, second))
        The second is significantly better: 20 photos that only it gets right against 4 \
(McNemar p = 0.0015); top-1 0.945 against 0.916, difference +2.9 points (95 % interval +1.1 to \
+4.7).
    """

    photos: int
    both: int
    """Images that both get right."""
    first_only: int
    """Images that only the first gets right."""
    second_only: int
    """Images that only the second gets right."""
    interval: tuple[float, float]
    """The 95 % interval of the difference."""
    p_value: float
    """How often a difference as large comes about if both are as good: McNemar's exact test, or
    that of random signs of the groups."""
    groups: int | None = None
    """Groups of images that belong together; None: each image stands for itself."""

    @property
    def is_tie(self) -> bool:
        """True if the two are not significantly different."""
        return self.p_value >= LEVEL

    @property
    def difference(self) -> float:
        """Top-1 of the second less that of the first."""
        return (self.second_only - self.first_only) / self.photos

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "photos": self.photos,
            "both": self.both,
            "first_only": self.first_only,
            "second_only": self.second_only,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "is_tie": self.is_tie,
            "groups": self.groups,
        }

    def __str__(self) -> str:
        first, second = (
            (self.both + own) / self.photos for own in (self.first_only, self.second_only)
        )
        low, high = (100 * end for end in self.interval)
        if self.is_tie:
            verdict = "The two are not significantly different"
        elif self.difference > 0:
            verdict = "The second is significantly better"
        else:
            verdict = "The first is significantly better"
        better, other = self.second_only, self.first_only
        if self.difference < 0:
            better, other = other, better
        test = "McNemar" if self.groups is None else f"{self.groups} groups, sign-flip"
        return (
            f"{verdict}: {better} photos that only it gets right against {other} "
            f"({test} p = {self.p_value:.2g}); top-1 {second:.3f} against {first:.3f}, "
            f"difference {100 * self.difference:+.1f} points "
            f"(95 % interval {low:+.1f} to {high:+.1f})."
        )


def paired(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    groups: NDArray[np.integer] | None = None,
) -> Paired:
    """Two classifiers by what each gets right of the same images in the same order.

    Args:
        first: `n`, whether each image is predicted correctly.
        second: `n`, likewise.
        groups: `n`, images of one group have one number; None: each image stands for itself.

    Raises:
        DataError: If there are no images, or not as many of both.
    """
    if len(first) != len(second) or not len(first):
        raise DataError(
            f"One classifier answered {len(first)} photos, the other {len(second)}.",
            expected="Both must have answered the same photos, at least one.",
        )
    more = second.astype(np.int64) - first
    own = np.arange(len(first)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(own, more).round().astype(np.int64)
    return Paired(
        photos=len(first),
        both=int((first & second).sum()),
        first_only=int((first & ~second).sum()),
        second_only=int((second & ~first).sum()),
        interval=difference_interval(first, second, groups),
        p_value=sign_flip_p(sums),
        groups=len(sums) if len(sums) < len(first) else None,
    )
