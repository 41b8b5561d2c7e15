"""What a classifier says of training photos that it has not seen.

For a head that is solved, every photo is answered by the head fitted to the other folds: the choice
of the penalty has fitted them already. For a graft that is trained, a copy is trained on four
photos in five and answers the fifth, if that takes no longer than people will wait.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from budwood.features.rows import RowSource, Selected
from budwood.learning.answering import predict_logits
from budwood.learning.penalties import can_be_held_out, spread_folds
from budwood.learning.plan import Grafts
from budwood.learning.probe import FittedProbe, Probe, held_out_logits
from budwood.learning.training import Training, train_graft
from budwood.tensors import Labels, Logits

PATIENCE = 30.0
"""Seconds that a second training may take."""


@dataclass(frozen=True)
class HeldOut:
    """What a classifier says of photos that it has not learned from."""

    labels: NDArray[np.int64]
    """Their classes."""
    logits: Logits


def held_out_by_probe(
    features: RowSource, labels: Labels, k: int, solved: FittedProbe, config: Probe, bias: bool
) -> HeldOut | None:
    """All training photos, or 10,000 and more of them; None where a class would be missing from all
    that is learned from.

    Only for a penalty that was given, and so not chosen in folds, are folds fitted here.
    """
    truth = labels.numpy()
    folds = spread_folds(truth, config.folds, config.seed)
    if not can_be_held_out(truth, folds):
        return None
    known = solved.held_out
    if known is not None:
        return HeldOut(truth[known.positions], known.logits)
    return HeldOut(truth, held_out_logits(features, labels, k, folds, solved.penalty, bias))


def held_out_by_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    seconds: float,
) -> HeldOut | None:
    """One training photo in five, by a second training; None if that would take too long.

    Args:
        untrained: Copies of the graft as it was before the first; they are trained here.
        rows: What the training photos are trained on.
        judged: What they are judged by.
        labels: Their classes.
        config: As in the first training; there is no early stopping.
        seconds: What the first took.
    """
    truth = labels.numpy()
    folds = spread_folds(truth, 5, config.seed)
    if seconds > PATIENCE or not can_be_held_out(truth, np.minimum(folds, 1)):
        return None
    out, seen = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    logits = answers_after_training(untrained, rows, judged, labels, config, seen, out)
    return HeldOut(truth[out], logits)


def answers_after_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    seen: NDArray[np.integer],
    out: NDArray[np.integer],
) -> Logits:
    """Logits of some photos after a training on others, without early stopping.

    Args:
        untrained: Copies of a graft; they are trained here.
        rows: What photos are trained on.
        judged: What they are judged by.
        labels: The class of every photo.
        config: How it is trained.
        seen: Photos that are trained on, by position.
        out: Photos that are answered, by position.
    """
    untrained.training.train()
    config = replace(config, patience=None)
    train_graft(untrained.training, _selected(rows, seen), labels[seen], config)
    return predict_logits(untrained.judging, _selected(judged, out), untrained.row_bytes)


def _selected(rows: RowSource, positions: NDArray[np.integer]) -> RowSource:
    return Selected(rows, positions.tolist())
