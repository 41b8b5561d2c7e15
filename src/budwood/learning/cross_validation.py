"""A linear probe that is only judged: what each photo gets from a fit that has not seen it.

Features are read and their axes are found once, for the choice of the penalty and for the answers;
no head is fitted to all photos, since none is wanted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from budwood.data.splitting import can_be_held_out, make_folds
from budwood.errors import DataError
from budwood.features.rows import RowSource
from budwood.learning.lbfgs import axes_of
from budwood.learning.probe import Probe, blocks_for
from budwood.learning.regularisation import answers_at, choose_penalty
from budwood.tensors import Labels, Logits


@dataclass(frozen=True)
class CrossValidatedLogits:
    """What a probe says of photos that are held out in turn."""

    logits: Logits
    """`n k`, log-probabilities."""
    folds: NDArray[np.int64]
    """Which part each photo was held out with."""
    penalty: float
    """Chosen as for a head that is fitted."""


def folds_to_hold_out(
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """The folds in which these photos are held out in turn, if they can be."""
    found = make_folds(labels, folds, groups=groups, seed=seed)
    if not can_be_held_out(labels, found):
        classes = len(np.unique(labels))
        raise DataError(
            f"{len(labels)} photos of {classes} classes cannot be held out in turn.",
            expected="Two classes must have two training photos each, at least"
            + (", that do not belong together." if groups is not None else "."),
            next="Add photos.",
        )
    return found


def cross_validated(
    rows: RowSource,
    labels: Labels,
    k: int,
    config: Probe,
    groups: NDArray[np.integer] | None = None,
) -> CrossValidatedLogits:
    """What the probe of each fold says of the photos of that fold.

    Features are standardised with all rows; labels of a fold are seen by no probe that answers
    for it.

    Args:
        rows: One tensor `n d`.
        labels: `n`, 0 to `k` - 1.
        k: Classes.
        config: Folds and seed, and the penalty, if it is not to be chosen.
        groups: `n`, photos of one group are held out together; None: each stands for itself.

    Example:
        >>> import torch
        >>> from budwood.learning.streaming import FeatureRows
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> cross_validated(FeatureRows(x), labels, 2, Probe(folds=3)).logits.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    folds = folds_to_hold_out(labels.numpy(), groups, config.folds, config.seed)
    blocks = blocks_for(rows, labels, k, bias=True)
    axes = axes_of(blocks)
    penalty, start = config.penalty, None
    if penalty is None:
        choice = choose_penalty(axes, labels, k, folds, True, blocks.width, groups)
        penalty, start = choice.penalty, choice.start
    logits = answers_at(axes, labels, k, folds, penalty, True, start)
    return CrossValidatedLogits(logits, folds, penalty)
