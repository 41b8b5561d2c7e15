"""A linear probe that is only judged: what each photo gets from a fit that has not seen it.

Features are read and their axes are found once, for the choice of the penalty and for the answers;
no head is fitted to all photos, since none is wanted.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.features.rows import RowSource
from budwood.learning.axes import axes_of
from budwood.learning.blocks import BLOCK_BYTES, standardised
from budwood.learning.minimising import Regressions
from budwood.learning.penalties import (
    answers_of_own_fold,
    choose_penalty,
    one_standard_error,
    spread_folds,
)
from budwood.learning.probe import Probe
from budwood.tensors import Labels, Logits

CLOSE = 1e-4
"""Slope, as a part of that at zero, at which folds are solved: to the last photo or two."""


@dataclass(frozen=True)
class CrossValidated:
    """What a probe says of photos that are held out in turn."""

    logits: Logits
    """`n k`, log-probabilities."""
    folds: NDArray[np.int64]
    """Which part each photo was held out with."""
    penalty: float
    """Chosen as for a head that is fitted."""


def require_two_of_two(labels: NDArray[np.integer]) -> None:
    """Check that two classes have two photos: then two are left whichever is held out.

    Raises:
        DataError: If they have not.
    """
    numbers = np.unique(labels, return_counts=True)[1]
    if (numbers > 1).sum() < 2:
        raise DataError(
            f"{len(labels)} photos of {len(numbers)} classes cannot be held out in turn.",
            expected="Two classes must have two training photos each, at least.",
            next="Add photos.",
        )


def cross_validated(rows: RowSource, labels: Labels, k: int, config: Probe) -> CrossValidated:
    """What the probe of each fold says of the photos of that fold.

    Features are standardised with all rows; labels of a fold are seen by no probe that answers
    for it.

    Args:
        rows: One tensor `n d`.
        labels: `n`, 0 to `k` - 1.
        k: Classes.
        config: Folds and seed, and the penalty, if it is not to be chosen.

    Raises:
        DataError: If two classes do not have two photos, or a feature is not finite.

    Example:
        >>> from budwood.learning.blocks import FeatureRows
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> cross_validated(FeatureRows(x), labels, 2, Probe(folds=3)).logits.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    require_two_of_two(labels.numpy())
    width = rows.take(range(1))[0].shape[1]
    blocks = standardised(rows, True, max(1, BLOCK_BYTES // (4 * max(width, k))))
    if not bool(blocks.scale.isfinite().all()):
        raise DataError("Some features are not finite.", next="Check the weights of the network.")
    axes = axes_of(blocks)
    folds = spread_folds(labels.numpy(), config.folds, config.seed)
    held_out = torch.stack([torch.from_numpy(folds == fold) for fold in np.unique(folds)])
    penalty, start = config.penalty, None
    if penalty is None:
        choice = choose_penalty(axes, labels, k, folds, True, width)
        penalty = one_standard_error(choice.candidates)
        start = choice.start.expand(len(held_out), -1, -1)
    fits = Regressions(axes, labels, k, (~held_out).float(), True, torch.float32)
    w = fits.minimise(penalty, start, CLOSE, steps=300)
    logits = torch.empty(len(labels), k)
    for part, log_p in answers_of_own_fold(axes, w, held_out):
        logits[part] = log_p
    return CrossValidated(logits, folds.astype(np.int64), penalty)
