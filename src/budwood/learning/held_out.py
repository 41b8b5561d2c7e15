"""What a classifier says of photos that it has not learned from.

For a head that is solved, every training photo is answered by the head fitted to the other folds:
the choice of the penalty has fitted them already. For a graft that is trained, validation photos
are answered by it where they steered nothing; where they chose its best epoch, or there are none, a
copy is trained on four photos in five and answers the fifth, with early stopping where the first
had it. Which of these it is depends on what was asked for, and never on how long something took.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from budwood.data.splitting import FOLDS, can_be_held_out, make_folds
from budwood.features.rows import RowSource, RowSubset
from budwood.learning.plan import Grafts
from budwood.learning.probe import FittedProbe, Probe, held_out_logits
from budwood.learning.streaming import predict_logits
from budwood.learning.training import Training, train_graft, validation_of
from budwood.tensors import Labels, Logits


@dataclass(frozen=True)
class HeldOutLogits:
    """What a classifier says of photos that it has not learned from."""

    labels: NDArray[np.int64]
    """Their classes."""
    logits: Logits
    groups: NDArray[np.int64] | None = None
    """Of each; None where each stands for itself."""
    positions: NDArray[np.int64] | None = None
    """Which of the training photos they are; None if they are validation photos."""
    rows: RowSource | None = None
    """Of validation photos: what they are judged by."""


@dataclass(frozen=True)
class Validation:
    """Photos that a graft does not learn from while it is trained."""

    rows: RowSource
    """That they are judged by."""
    labels: Labels


def held_out_by_probe(
    features: RowSource,
    labels: Labels,
    k: int,
    solved: FittedProbe,
    config: Probe,
    bias: bool,
    groups: NDArray[np.int64] | None = None,
) -> HeldOutLogits | None:
    """All training photos, or 10,000 and more of them; None where a class would be missing from all
    that is learned from.

    Only for a penalty that was given, and so not chosen in folds, are folds fitted here.
    """
    truth = labels.numpy()
    folds = make_folds(truth, config.folds, groups=groups, seed=config.seed)
    if not can_be_held_out(truth, folds):
        return None
    known = solved.held_out
    if known is None:
        logits = held_out_logits(features, labels, k, folds, solved.penalty, bias)
        return HeldOutLogits(truth, logits, groups, np.arange(len(truth)))
    own = known.positions
    return HeldOutLogits(truth[own], known.logits, None if groups is None else groups[own], own)


def held_out_by_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    groups: NDArray[np.int64] | None = None,
    validation: Validation | None = None,
) -> HeldOutLogits | None:
    """One training photo in five, by a second training; None where nothing can be held out.

    Args:
        untrained: Copies of the graft as it was before the first; they are trained here.
        rows: What the training photos are trained on.
        judged: What they are judged by.
        labels: Their classes.
        config: As in the first training.
        groups: Of each training photo; None: each stands for itself.
        validation: Where the first training stopped early, the photos that told it when.
    """
    truth = labels.numpy()
    folds = make_folds(truth, FOLDS, groups=groups, seed=config.seed)
    if not can_be_held_out(truth, np.minimum(folds, 1)):
        return None
    out, seen = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    logits = answers_after_training(untrained, rows, judged, labels, config, seen, out, validation)
    return HeldOutLogits(truth[out], logits, None if groups is None else groups[out], out)


def answers_after_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    seen: NDArray[np.integer],
    out: NDArray[np.integer],
    validation: Validation | None = None,
) -> Logits:
    """Logits of some photos after a training on others.

    Args:
        untrained: Copies of a graft; they are trained here.
        rows: What photos are trained on.
        judged: What they are judged by.
        labels: The class of every photo.
        config: How it is trained.
        seen: Photos that are trained on, by position.
        out: Photos that are answered, by position.
        validation: By which it stops early; without any it does not.
    """
    untrained.training.train()
    validate = None
    if validation is None:
        config = replace(config, patience=None)
    else:
        known = validation
        validate = validation_of(
            lambda: predict_logits(untrained.judging, known.rows, untrained.row_bytes),
            known.labels,
        )
    train_graft(untrained.training, _selected(rows, seen), labels[seen], config, validate)
    return predict_logits(untrained.judging, _selected(judged, out), untrained.row_bytes)


def _selected(rows: RowSource, positions: NDArray[np.integer]) -> RowSource:
    return RowSubset(rows, positions.tolist())
