"""A split: photos with their classes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from budwood.errors import ConfigError


@dataclass(frozen=True)
class Split:
    """Photos in a fixed order, each with the index of its class.

    Example:
        >>> split = Split("train", (Path("a.jpg"), Path("b.jpg")), (1, 1), ("cat", "dog"))
        >>> len(split), split.counts()
        (2, {'cat': 0, 'dog': 2})
    """

    name: str
    """`train`, `val`, `test`, or `photos` where there is only one."""
    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    """Each photo's index in `classes`."""
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.labels):
            raise ConfigError(
                f"Split {self.name!r} has {len(self.paths)} paths and {len(self.labels)} labels.",
                next="Give each photo one label.",
            )
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(self.classes):
            raise ConfigError(
                f"Split {self.name!r} has labels from {min(self.labels)} to {max(self.labels)}.",
                expected=f"They index {len(self.classes)} classes, from 0 on.",
            )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The labels as an array."""
        return np.array(self.labels, dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """How many photos each class has, in the order of `classes`."""
        numbers = np.bincount(self.targets, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def without(self, paths: Collection[Path]) -> "Split":
        """The same split less the photos at `paths`."""
        left_out = frozenset(paths)
        kept = [
            (path, label)
            for path, label in zip(self.paths, self.labels, strict=True)
            if path not in left_out
        ]
        return replace(
            self, paths=tuple(path for path, _ in kept), labels=tuple(label for _, label in kept)
        )
