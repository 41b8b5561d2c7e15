"""What is thought of each photo's class by those who have not seen it, for judging its label.

Two opinions are averaged, since they err on different photos: a linear probe, fitted without the
photo and everything that belongs together with it, and the labels of the nearest photos. The probe
is fitted twice: what the first doubts, the second does not learn from, so that wrong labels vouch
for each other less.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.images.folds import can_be_held_out, make_folds
from budwood.judging.calibration import fit_temperature, softmax
from budwood.judging.suspects import Suspect, suspects
from budwood.learning.blocks import FeatureRows
from budwood.learning.cross_validation import cross_validated
from budwood.learning.probe import Probe, fit_probe, held_out_logits

NEAREST, VOICE = 15, 1 / 3
"""Photos whose labels are asked, and the weight of their opinion."""
SHARPNESS = 8.0
"""How much more a nearer one counts: by the exponential of so many times the cosine."""
DOUBT = 0.02
"""Added to the vote for each class, so that none is impossible."""
_ROWS = 1024


def held_out_opinions(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    k: int,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Probabilities `n k` of each photo, by those who have seen nothing of its group.

    Args:
        features: `n d`.
        labels: `n`, the labels given.
        groups: The group of each photo; None: each stands for itself.
        k: Classes.
        seed: Of the folds.

    Returns:
        None if nothing can be held out: there are photos of less than two groups, or of less than
        two classes besides those of some fold.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    if not can_be_held_out(labels, make_folds(labels, groups=groups, seed=seed)):
        return None
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    first = cross_validated(FeatureRows(x), y, k, Probe(seed=seed), groups)
    logits, folds, penalty = first.logits.clone(), first.folds, first.penalty
    doubted = _with_their_groups(suspects(_calibrated(logits, labels, groups), labels), groups)
    if doubted.any() and can_be_held_out(labels[~doubted], folds[~doubted]):
        trusted = torch.from_numpy(~doubted)
        logits[trusted] = held_out_logits(x[trusted], y[trusted], k, folds[~doubted], penalty)
        probe = fit_probe(x[trusted], y[trusted], k, Probe(penalty=penalty))
        logits[~trusted] = x[~trusted] @ probe.weight.T + probe.bias
    votes = _votes(x, y, groups, k)
    return (1 - VOICE) * _calibrated(logits, labels, groups) + VOICE * votes


def _calibrated(
    logits: Tensor, labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    return softmax(logits.numpy(), fit_temperature(logits.numpy(), labels, groups))


def _with_their_groups(found: Sequence[Suspect], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(groups, groups[[suspect.photo for suspect in found]])


def _votes(x: Tensor, y: Tensor, groups: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The share `n k` of each class among the nearest photos of other groups, by direction."""
    rows = torch.nn.functional.normalize(x - x.mean(0), dim=1)
    of = torch.from_numpy(groups)
    votes = torch.zeros(len(x), k)
    for start in range(0, len(x), _ROWS):
        some = slice(start, start + _ROWS)
        cosines = rows[some] @ rows.T
        cosines[of[some, None] == of] = -torch.inf
        nearest = cosines.topk(min(NEAREST, len(x)), 1)
        weights = (SHARPNESS * nearest.values).softmax(1)
        votes[some].scatter_add_(1, y[nearest.indices], weights)
    votes += DOUBT
    shares: NDArray[np.float64] = (votes / votes.sum(1, keepdim=True)).double().numpy()
    return shares
