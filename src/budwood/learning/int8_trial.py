"""Is int8 good enough for a trunk's rows? A trial on the photos that are trained on.

Rows in int8 differ from fp32 by a third of the spread between photos and may still serve a probe as
well, so agreement is no measure of them; accuracy is. Both kinds of rows are judged on the same
photos in the same folds, so that what they have in common cancels out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.features.rows import RowSource
from budwood.intervals import difference_interval
from budwood.learning.probe import Probe, cross_validated
from budwood.surgery.axes import place_axes
from budwood.tensors import Features, Labels

ALLOWED_LOSS = 0.003
"""Top-1 that int8 may cost: 0.3 points."""
SAMPLE = 1000
"""Photos of a trial that was asked for."""
SHARE = 0.1
"""Photos of a pass that a trial is made on where none was asked for: what it costs at most, beside
quantising, if int8 is refused."""
LONG_PASS = 20_000
"""Photos of a pass for which a trial is made unasked. On a tenth of fewer the interval is wider
than the loss that is allowed, unless int8 changes hardly any answer."""
MOST = 10_000
"""Photos of a trial, however long the pass."""
POOLED = 32
"""Photos whose maps are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a trial of int8 came to.

    Example:
        >>> trial = Trial(
        ...     images=1000, reference="bf16", both_right=880, gained=14, lost=12, speed=1.9,
        ...     interval=(-0.008, 0.012),
        ... )
        >>> str(trial).split("; ")
        ['int8 is used: top-1 on 1000 photos 89.4 %, with bf16 89.2 % (+0.2 points, \
95 % interval -0.8 to +1.2)', '1.90 times as fast.']
    """

    images: int
    reference: str
    """The precision of the rows that int8 is held against."""
    both_right: int
    """Photos that both probes get right while they are held out."""
    gained: int
    """Photos that only int8 gets right."""
    lost: int
    """Photos that only the reference gets right."""
    interval: tuple[float, float]
    """The 95 % interval of the top-1 won by int8; photos that belong together count as such."""
    speed: float
    """Photos a second in int8, as a multiple of the reference's."""
    was_asked_for: bool = True
    """False where Budwood made it by itself: then the interval has to be within the allowed loss,
    and int8 has to be faster."""

    @property
    def accepted(self) -> bool:
        """True if int8 costs no more than the allowed loss: as estimated, or with the whole
        interval where nobody asked for int8."""
        if not self.was_asked_for:
            return self.interval[0] >= -ALLOWED_LOSS and self.speed > 1
        return self.lost - self.gained <= round(ALLOWED_LOSS * self.images, 9)

    @property
    def reference_top1(self) -> float:
        """Cross-validated top-1 with rows of the reference."""
        return (self.both_right + self.lost) / self.images

    @property
    def int8_top1(self) -> float:
        """Cross-validated top-1 with rows in int8."""
        return (self.both_right + self.gained) / self.images

    @property
    def difference(self) -> float:
        """Top-1 won by int8."""
        return (self.gained - self.lost) / self.images

    def to_json(self) -> dict[str, Any]:
        """The object `int8` of `train --json`; see docs/json.md."""
        return {
            "accepted": self.accepted,
            "was_asked_for": self.was_asked_for,
            "images": self.images,
            "reference": self.reference,
            "reference_top1": self.reference_top1,
            "int8_top1": self.int8_top1,
            "difference": self.difference,
            "interval": list(self.interval),
            "speed": self.speed,
        }

    def __str__(self) -> str:
        won, low, high = (100 * share for share in (self.difference, *self.interval))
        return (
            f"int8 is {'used' if self.accepted else 'not used'}: top-1 on {self.images} photos "
            f"{100 * self.int8_top1:.1f} %, with {self.reference} "
            f"{100 * self.reference_top1:.1f} % "
            f"({won:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}); "
            f"{self.speed:.2f} times as fast."
        )


def try_int8(
    reference: Features,
    int8: Features,
    labels: Labels,
    num_classes: int,
    *,
    named: str,
    speed: float,
    groups: NDArray[np.integer] | None = None,
    was_asked_for: bool = True,
) -> Trial:
    """How well a probe does on int8 rows, beside one on the rows of another precision.

    Both are of the same photos in the same order, and in the same folds; each has its own
    L2 strength. `speed` is photos a second in int8 over those of the reference.
    """
    if not len(reference) == len(int8) == len(labels):
        raise DataError(
            f"A trial got {len(reference)} rows in {named}, {len(int8)} in int8 and "
            f"{len(labels)} labels.",
            expected="They must be of the same photos.",
        )
    before, after = (
        (
            cross_validated(rows, labels, num_classes, Probe(), groups).logits.argmax(1) == labels
        ).numpy()
        for rows in (reference, int8)
    )
    return Trial(
        images=len(labels),
        reference=named,
        both_right=int((before & after).sum()),
        gained=int((after & ~before).sum()),
        lost=int((before & ~after).sum()),
        interval=difference_interval(before, after, groups),
        speed=speed,
        was_asked_for=was_asked_for,
    )


def trial_sample(labels: Labels, size: int = SAMPLE, seed: int = 0) -> list[int]:
    """Positions of at most `size` photos, sorted; every class keeps its share.

    Example:
        >>> labels = torch.tensor([0] * 80 + [1] * 20)
        >>> sample = trial_sample(labels, 10)
        >>> [int((labels[sample] == k).sum()) for k in (0, 1)]
        [8, 2]
    """
    known = labels.cpu().numpy()
    shuffled = np.random.default_rng(seed).permutation(len(known))
    order = shuffled[np.argsort(known[shuffled], kind="stable")]  # class after class
    size = min(size, len(order))
    return sorted(int(order[i * len(order) // size]) for i in range(size))


def pooled(rows: RowSource) -> Features:
    """One vector a photo from frontier rows of any shape: a map's mean over its places.

    Which axis holds features was seen when the network was traced (`surgery/axes.py`); of rows that
    were made otherwise, maps are taken to be `n c h w` and sequences `n t d`. Several tensors are
    put side by side. Where nothing but the photos themselves is stored, `n h w c`, it is their mean
    colours.
    """
    parts = []
    for start in range(0, len(rows), POOLED):
        tensors = rows.take(range(start, min(start + POOLED, len(rows))))
        axes = rows.axes or (None,) * len(tensors)
        known = list(zip(tensors, axes, strict=True))
        maps = [_flat(t.float(), axis) for t, axis in known if t.is_floating_point()]
        parts.append(torch.cat(maps or [_flat(t.float(), t.dim() - 1) for t in tensors], 1))
    return torch.cat(parts)


def _flat(tensor: torch.Tensor, feature_axis: int | None) -> Features:
    places = place_axes(tensor.dim(), feature_axis)
    return tensor.mean(places) if places else tensor.reshape(len(tensor), -1)
