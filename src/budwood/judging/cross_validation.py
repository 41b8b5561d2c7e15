"""What cross-validation came to: the accuracy of a head on photos that it has not seen."""

from dataclasses import dataclass
from statistics import stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.display import displayed
from budwood.intervals import accuracy_interval


@displayed
@dataclass(frozen=True)
class Fold:
    """Photos that were held out together."""

    photos: int
    right: int

    @property
    def top1(self) -> float:
        """Accuracy on them."""
        return self.right / self.photos


@displayed
@dataclass(frozen=True)
class CrossValidation:
    """Accuracy on every photo, each by a head that was fitted to the other folds.

    Example:
        >>> print(CrossValidation((Fold(50, 45), Fold(50, 47)), (0.850, 0.959)))
        Cross-validated top-1 accuracy 0.920 (95 % interval 0.850 to 0.959) on 100 photos in 2 \
folds (0.900 to 0.940, standard deviation 0.028).
    """

    folds: tuple[Fold, ...]
    interval: tuple[float, float]
    """The 95 % interval of the accuracy on images of new groups, as if all photos had been judged
    by one head."""

    @property
    def photos(self) -> int:
        """Of all folds."""
        return sum(fold.photos for fold in self.folds)

    @property
    def top1(self) -> float:
        """Accuracy on all of them."""
        return sum(fold.right for fold in self.folds) / self.photos

    def to_json(self) -> dict[str, Any]:
        """The object `kfold` of `train --json`; see docs/json.md."""
        return {
            "photos": self.photos,
            "top1": self.top1,
            "interval": list(self.interval),
            "folds": [{"photos": fold.photos, "top1": fold.top1} for fold in self.folds],
        }

    def __str__(self) -> str:
        low, high = self.interval
        shares = [fold.top1 for fold in self.folds]
        return (
            f"Cross-validated top-1 accuracy {self.top1:.3f} (95 % interval {low:.3f} to "
            f"{high:.3f}) on {self.photos} photos in {len(self.folds)} folds ({min(shares):.3f} "
            f"to {max(shares):.3f}, standard deviation {stdev(shares):.3f})."
        )


def crossed(
    right: NDArray[np.bool_],
    folds: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> CrossValidation:
    """Hits by fold.

    Args:
        right: `n`, whether each photo was named rightly.
        folds: `n`, the fold of each.
        groups: `n`; None: each photo stands for itself.
    """
    parts = [right[folds == fold] for fold in np.unique(folds)]
    return CrossValidation(
        tuple(Fold(len(part), int(part.sum())) for part in parts), accuracy_interval(right, groups)
    )
