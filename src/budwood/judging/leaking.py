"""What test photos that were trained on are worth: accuracy with and without them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from budwood.images.notes import count
from budwood.judging.auditing import Audited, Likenesses, leaked
from budwood.intervals import wilson_interval
from budwood.learning.probe import fit_probe


@dataclass(frozen=True)
class Leak:
    """What photos of the test split that were trained on are worth."""

    photos: int
    """Test photos that belong together with a training photo."""
    top1: float
    """With them."""
    interval: tuple[float, float]
    top1_without: float | None
    """Without them; None if none is left."""
    interval_without: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in `audit --json`."""
        return {
            "photos": self.photos,
            "top1": self.top1,
            "interval": list(self.interval),
            "top1_without": self.top1_without,
            "interval_without": self.interval_without and list(self.interval_without),
        }

    def __str__(self) -> str:
        without = "-" if self.top1_without is None else f"{self.top1_without:.3f}"
        are = "is" if self.photos == 1 else "are"
        return (
            f"{count(self.photos, 'test photo')} {are} known from training: top-1 of a linear head "
            f"is {self.top1:.3f} with them and {without} without."
        )


def leak_of(audited: Audited, alikes: Likenesses) -> Leak | None:
    """How well a linear head does on all test photos, and on those that training does not know.

    None without a test split, or if fewer than two classes have training photos.
    """
    parts = np.array(audited.parts)
    train, test = parts == "train", parts == "test"
    if not test.any() or len(np.unique(audited.labels[train])) < 2:
        return None
    features, labels = torch.from_numpy(audited.features), torch.from_numpy(audited.labels)
    probe = fit_probe(features[train], labels[train], len(audited.classes))
    logits = features[test].float() @ probe.weight.T + probe.bias
    right = (logits.argmax(1) == labels[test]).numpy()
    known = leaked(audited, alikes.groups)[test]
    others = right[~known]
    return Leak(
        int(known.sum()),
        float(right.mean()),
        wilson_interval(int(right.sum()), len(right)),
        float(others.mean()) if len(others) else None,
        wilson_interval(int(others.sum()), len(others)) if len(others) else None,
    )
