"""What a classifier says of training photos that it has not seen.

For a head that is solved, every photo is answered by the head fitted to the other folds. For a
graft that is trained, a copy is trained on four photos in five and answers the fifth, if that takes
no longer than people will wait.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from budwood.features.rows import RowSource, Selected
from budwood.learning.answering import predict_logits
from budwood.learning.penalties import spread_folds
from budwood.learning.probe import FittedProbe, Probe, held_out_logits
from budwood.learning.training import Training, train_graft
from budwood.tensors import Labels, Logits

PATIENCE = 30.0
"""Seconds that a second training may take."""


@dataclass(frozen=True)
class HeldOut:
    """Logits of training photos by a classifier that has not seen them."""

    positions: NDArray[np.int64]
    """Which photos, by their place in the training split."""
    logits: Logits
    folds: NDArray[np.int64]
    """The part that each of them was held out with."""


def held_out_by_probe(
    features: RowSource, labels: Labels, k: int, solved: FittedProbe, config: Probe, bias: bool
) -> HeldOut | None:
    """All photos, in the folds that the penalty was chosen with; None where a class would be
    missing from all that is learned from."""
    folds = spread_folds(labels.numpy(), config.folds, config.seed)
    if not _can_be_learned(labels.numpy(), folds):
        return None
    logits = held_out_logits(features, labels, k, folds, solved.penalty, bias)
    return HeldOut(np.arange(len(labels)), logits, folds.astype(np.int64))


def held_out_by_training(
    untrained: nn.Module,
    rows: RowSource,
    row_bytes: int,
    labels: Labels,
    config: Training,
    seconds: float,
) -> HeldOut | None:
    """One photo in five, by a second training; None if that would take too long.

    Args:
        untrained: The graft as it was before the first; it is trained here.
        rows: The frontier of the training photos.
        row_bytes: Bytes of one photo's frontier.
        labels: Their classes.
        config: As in the first training; there is no early stopping.
        seconds: What the first took.
    """
    folds = spread_folds(labels.numpy(), 5, config.seed)
    seen = np.flatnonzero(folds != 0)
    if seconds > PATIENCE or not _can_be_learned(labels.numpy(), np.minimum(folds, 1)):
        return None
    untrained.train()
    train_graft(
        untrained, Selected(rows, seen.tolist()), labels[seen], replace(config, patience=None)
    )
    out = np.flatnonzero(folds == 0)
    logits = predict_logits(untrained, Selected(rows, out.tolist()), row_bytes)
    return HeldOut(out, logits, np.arange(len(out)) % 2)


def _can_be_learned(labels: NDArray[np.integer], folds: NDArray[np.integer]) -> bool:
    """True if every fold's others have photos of two classes, and it is not empty."""
    numbers = np.unique(folds)
    return len(numbers) > 1 and all(len(np.unique(labels[folds != f])) > 1 for f in numbers)
