"""A split: photos with their classes."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from budwood.display import counted, displayed
from budwood.errors import ConfigError
from budwood.images.depth import Depth


@displayed
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
    groups: tuple[int, ...] | None = None
    """A number for each image, the same for all that belong together: equal files, copies of one
    picture, a burst, what the user says. Never torn where images are held out. None: each image
    stands for itself. Splits of one folder share their numbers."""
    depth: Depth | None = None
    """What is black and white in images of more than 8 bits, according to the training images.
    Splits of one folder share it. None: not known."""

    def __post_init__(self) -> None:
        if len(self.paths) != len(self.labels):
            raise ConfigError(
                f"Split {self.name!r} has {len(self.paths)} paths and {len(self.labels)} labels.",
                next="Give each photo one label.",
            )
        if self.groups is not None and len(self.groups) != len(self.paths):
            raise ConfigError(
                f"Split {self.name!r} has {len(self.paths)} paths and {len(self.groups)} groups.",
                next="Give each photo one group, or none at all.",
            )
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(self.classes):
            raise ConfigError(
                f"Split {self.name!r} has labels from {min(self.labels)} to {max(self.labels)}.",
                expected=f"They index {len(self.classes)} classes, from 0 on.",
            )

    def __str__(self) -> str:
        return counted({self.name: self.counts()})

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The labels as an array."""
        return np.array(self.labels, dtype=np.int64)

    @property
    def group_numbers(self) -> npt.NDArray[np.int64] | None:
        """The groups as an array; None where each image stands for itself."""
        return None if self.groups is None else np.array(self.groups, dtype=np.int64)

    def counts(self) -> dict[str, int]:
        """How many photos each class has, in the order of `classes`."""
        numbers = np.bincount(self.targets, minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def without(self, paths: Collection[Path]) -> "Split":
        """The same split less the photos at `paths`."""
        left_out = frozenset(paths)
        kept = [i for i, path in enumerate(self.paths) if path not in left_out]
        return replace(
            self,
            paths=tuple(self.paths[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
            groups=None if self.groups is None else tuple(self.groups[i] for i in kept),
        )
