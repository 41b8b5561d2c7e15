"""Whether one classifier is better than another, asked of the same photos."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.intervals import paired_interval

LEVEL = 0.05
"""Below this probability a difference is called one."""


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same photos.

    Example:
        >>> print(Paired(photos=550, both=500, first_only=4, second_only=20))
        The second is better: 20 photos that only it gets right against 4 (McNemar p = 0.0015); \
top-1 0.945 against 0.916, difference +2.9 points (95 % interval +1.1 to +4.7).
    """

    photos: int
    both: int
    """Photos that both get right."""
    first_only: int
    """Photos that only the first gets right."""
    second_only: int
    """Photos that only the second gets right."""

    @property
    def p_value(self) -> float:
        """How often a difference as large comes about if both are as good: McNemar's exact test.

        Reference: McNemar, "Note on the sampling error of the difference between correlated
        proportions", Psychometrika 1947.
        """
        from scipy.stats import binomtest

        differ = self.first_only + self.second_only
        return float(binomtest(self.first_only, differ).pvalue) if differ else 1.0

    @property
    def is_tie(self) -> bool:
        """True if these photos do not tell the two apart."""
        return self.p_value >= LEVEL

    @property
    def difference(self) -> float:
        """Top-1 of the second less that of the first."""
        return (self.second_only - self.first_only) / self.photos

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference."""
        return paired_interval(self.second_only, self.first_only, self.photos)

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
        }

    def __str__(self) -> str:
        first, second = (
            (self.both + own) / self.photos for own in (self.first_only, self.second_only)
        )
        low, high = (100 * end for end in self.interval)
        if self.is_tie:
            verdict = "These photos do not tell the two apart"
        elif self.difference > 0:
            verdict = "The second is better"
        else:
            verdict = "The first is better"
        better, other = self.second_only, self.first_only
        if self.difference < 0:
            better, other = other, better
        return (
            f"{verdict}: {better} photos that only it gets right against {other} "
            f"(McNemar p = {self.p_value:.2g}); top-1 {second:.3f} against {first:.3f}, "
            f"difference {100 * self.difference:+.1f} points "
            f"(95 % interval {low:+.1f} to {high:+.1f})."
        )


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Two classifiers by what each gets right of the same photos in the same order.

    Raises:
        DataError: If there are no photos, or not as many of both.
    """
    if len(first) != len(second) or not len(first):
        raise DataError(
            f"One classifier answered {len(first)} photos, the other {len(second)}.",
            expected="Both must have answered the same photos, at least one.",
        )
    return Paired(
        photos=len(first),
        both=int((first & second).sum()),
        first_only=int((first & ~second).sum()),
        second_only=int((second & ~first).sum()),
    )
