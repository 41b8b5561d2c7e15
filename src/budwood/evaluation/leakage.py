"""What test images that were trained on are worth: accuracy with and without them in training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.evaluation.data_issues import AuditedImages, leaked
from budwood.intervals import accuracy_interval, difference_interval
from budwood.learning.probe import Probe, fit_probe
from budwood.text import count


@dataclass(frozen=True)
class Leak:
    """What it is worth that photos of the test split, or their likes, were trained on.

    Both heads are judged on the same photos: all test photos. One learns from all training photos,
    the other from those that do not belong together with a test photo.
    """

    photos: int
    """Test photos that belong together with a training photo."""
    top1: float
    """Of all test photos, with the leak."""
    interval: tuple[float, float]
    top1_without: float | None
    """The same, without the photos that leak in training; None if too few are left to learn
    from."""
    interval_without: tuple[float, float] | None
    difference: float | None
    """By how much the leak raises the figure."""
    difference_interval: tuple[float, float] | None
    """The 95 % interval of that."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in `audit --json`."""
        return {
            "images": self.photos,
            "top1": self.top1,
            "interval": list(self.interval),
            "top1_without": self.top1_without,
            "interval_without": self.interval_without and list(self.interval_without),
            "difference": self.difference,
            "difference_interval": self.difference_interval and list(self.difference_interval),
        }

    def __str__(self) -> str:
        are = "is" if self.photos == 1 else "are"
        known = f"{count(self.photos, 'test photo')} {are} known from training"
        if self.difference is None or self.difference_interval is None:
            return f"{known}: without what leaks, too few photos are left to learn from."
        low, high = (100 * end for end in self.difference_interval)
        return (
            f"{known}: on the same test photos, top-1 of a linear head is {self.top1:.3f} with "
            f"what leaks in its training and {self.top1_without:.3f} without (difference "
            f"{100 * self.difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f})."
        )


def leak_of(audited: AuditedImages, groups: NDArray[np.integer], seed: int = 0) -> Leak | None:
    """What a leak is worth.

    None without a test split, or if fewer than two classes have training photos.
    """
    parts = np.array(audited.parts)
    train, test = parts == "train", parts == "test"
    if not test.any() or len(np.unique(audited.labels[train])) < 2:
        return None
    own = groups[test]
    right = _right(audited, groups, train, test, seed)
    clean = train & ~np.isin(groups, own)
    without = None
    if (clean == train).all():
        without = right
    elif clean.sum() > 1 and len(np.unique(audited.labels[clean])) > 1:
        without = _right(audited, groups, clean, test, seed)
    return Leak(
        int(leaked(audited, groups.tolist())[test].sum()),
        float(right.mean()),
        accuracy_interval(right, own),
        None if without is None else float(without.mean()),
        None if without is None else accuracy_interval(without, own),
        None if without is None else float(right.mean() - without.mean()),
        None if without is None else difference_interval(without, right, own),
    )


def _right(
    audited: AuditedImages,
    groups: NDArray[np.integer],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.bool_]:
    """Which test photos a linear head gets right that learned from these training photos."""
    features, labels = torch.from_numpy(audited.features), torch.from_numpy(audited.labels)
    k = len(audited.classes)
    probe = fit_probe(features[train], labels[train], k, Probe(seed=seed), groups=groups[train])
    logits = features[test].float() @ probe.weight.T + probe.bias
    right: NDArray[np.bool_] = (logits.argmax(1) == labels[test]).numpy()
    return right
