"""The penalty of a probe, chosen by how well photos that it was not fitted to are predicted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.intervals import standard_error
from budwood.learning.lbfgs import Basis, Regressions, log_probabilities
from budwood.tensors import Labels, Logits

PENALTIES_PER_FEATURE = tuple(10.0 ** (exponent / 2) for exponent in range(2, -7, -1))
"""Penalties, strongest first, as multiples of the number of features: with a penalty equal to it,
a weight vector of typical size gives logits of about 1."""
HELD_OUT = 10_000
"""Photos that are enough to compare penalties: no further fold is held out."""
CLOSE = 1e-3
"""Slope, as a part of that at zero, at which a held-out loss has its first three digits."""
CLOSEST = 1e-4
"""Likewise, at which held-out answers are right to the last photo or two."""

Candidate = dict[str, float]


@dataclass(frozen=True)
class HeldOutAnswers:
    """What rows get from fits that have not seen them."""

    positions: NDArray[np.int64]
    """Of the rows that were held out, rising."""
    logits: Logits
    """`n k`, their log-probabilities."""


@dataclass(frozen=True)
class PenaltyChoice:
    """The penalties that were tried, and the fits at the chosen one."""

    penalty: float
    """The chosen one."""
    candidates: tuple[Candidate, ...]
    start: Tensor
    """Columns `k m+1`: the mean over the folds."""
    held_out: HeldOutAnswers


@dataclass(frozen=True)
class PenaltyFits:
    """A penalty, and what its fits say of the rows that are held out."""

    penalty: float
    columns: Tensor
    """`p k m+1`, of each fold's fit."""
    answers: Logits
    losses: NDArray[np.float64]
    hits: NDArray[np.bool_]


def choose_penalty(
    axes: Basis,
    labels: Labels,
    k: int,
    folds: NDArray[np.integer],
    bias: bool,
    features: int,
    groups: NDArray[np.integer] | None = None,
) -> PenaltyChoice:
    """Held-out loss, its standard error and top-1 of each penalty tried, strongest first.

    Args:
        axes: The features.
        labels: A class for each row.
        k: Classes.
        folds: A fold for each row.
        bias: Whether the layer has one.
        features: Their number.
        groups: Of each row: those of one group count as little more than one; None: each row
            stands for itself.
    """
    held_out = held_out_folds(folds)
    out = held_out.any(0).numpy()
    own = None if groups is None else groups[out]
    found = list(tried_penalties(axes, labels, k, held_out, bias, features, own))
    chosen = one_standard_error(found, own)
    # To compare penalties three digits are enough; to be as sharp as a head of all rows is not.
    fits = Regressions(axes, labels, k, (~held_out).float(), bias, torch.float32)
    w = fits.minimise(chosen.penalty, chosen.columns, CLOSEST, steps=300)
    settled = _tried(axes, labels, w, held_out, chosen.penalty)
    candidates = tuple(
        {
            "l2_strength": tried.penalty,
            "loss": float(tried.losses.mean()),
            "standard_error": standard_error(tried.losses, own),
            "top1": float(tried.hits.mean()),
        }
        for tried in found
    )
    answers = HeldOutAnswers(np.flatnonzero(out), settled.answers)
    return PenaltyChoice(chosen.penalty, candidates, w.mean(0), answers)


def tried_penalties(
    axes: Basis,
    labels: Labels,
    k: int,
    held_out: Tensor,
    bias: bool,
    features: int,
    groups: NDArray[np.integer] | None = None,
) -> Iterator[PenaltyFits]:
    """What the fits of each penalty say of the rows that are held out, strongest first.

    All folds are fitted side by side, each penalty from where the last one ended. No weaker
    penalty is tried once the held-out loss has clearly risen, that is, by two standard errors of
    the rise.

    Args:
        axes: The features.
        labels: A class for each row.
        k: Classes.
        held_out: `p n`, see `held_out_folds`.
        bias: Whether the layer has one.
        features: Their number.
        groups: Of each row that is held out; None: each stands for itself.
    """
    fits = Regressions(axes, labels, k, (~held_out).float(), bias, torch.float32)
    best: PenaltyFits | None = None
    w = None
    for penalty in (features * share for share in PENALTIES_PER_FEATURE):
        w = fits.minimise(penalty, w, CLOSE, steps=40)
        tried = _tried(axes, labels, w, held_out, penalty)
        yield tried
        if best is None or tried.losses.mean() < best.losses.mean():
            best = tried
        rise = tried.losses - best.losses
        if rise.mean() > 2 * standard_error(rise, groups):
            break


def one_standard_error(
    found: Sequence[PenaltyFits], groups: NDArray[np.integer] | None = None
) -> PenaltyFits:
    """The strongest penalty whose loss is within one standard error of the least loss.

    It is the standard error of the loss itself, which is several times that of a difference of two
    losses: so the penalty is stronger than the best, and its answers, once calibrated, are better
    (`benchmarks/regularisation.py`).

    Args:
        found: The strongest first.
        groups: Of each row; None: each stands for itself.

    Reference: Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.
    """
    best = min(found, key=lambda tried: float(tried.losses.mean()))
    limit = best.losses.mean() + standard_error(best.losses, groups)
    return next(tried for tried in found if tried.losses.mean() <= limit)


def held_out_folds(folds: NDArray[np.integer]) -> Tensor:
    """Whether each photo is held out, `p n`, a row for each fold that is: none once 10,000 are."""
    kept: list[Tensor] = []
    for fold in np.unique(folds):
        if sum(int(mask.sum()) for mask in kept) < HELD_OUT:
            kept.append(torch.from_numpy(folds == fold))
    held_out = torch.stack(kept)
    return held_out[~held_out.all(1)]


def answers_of_own_fold(axes: Basis, w: Tensor, held_out: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Where each block of rows lies, and its log-probabilities `b k` in the problem that holds it
    out.

    Args:
        axes: The rows.
        w: Columns `p k m+1`, one problem for each fold.
        held_out: `p n`; of a row that no fold holds out the answer of the first is given.
    """
    for part, rows in axes.blocks.each(torch.float32):
        own = held_out[:, part].byte().argmax(0)
        yield part, log_probabilities(w, rows)[own, :, torch.arange(len(rows))]  # p k b -> b k


def answers_at(
    axes: Basis,
    labels: Labels,
    k: int,
    folds: NDArray[np.integer],
    penalty: float,
    bias: bool,
    start: Tensor | None = None,
) -> Logits:
    """Log-probabilities `n k` of each row by the fit to the other folds; all are fitted side by
    side.

    Args:
        axes: The features.
        labels: A class for each row.
        k: Classes.
        folds: A fold for each row, at least two.
        penalty: That of all rows; each fit has its part of it.
        bias: Whether the layer has one.
        start: Columns `k m+1` to begin from.
    """
    held_out = torch.stack([torch.from_numpy(folds == fold) for fold in np.unique(folds)])
    fits = Regressions(axes, labels, k, (~held_out).float(), bias, torch.float32)
    begun = None if start is None else start.expand(len(held_out), -1, -1)
    w = fits.minimise(penalty, begun, CLOSEST, steps=300)
    answers = torch.empty(len(labels), k)
    for part, log_p in answers_of_own_fold(axes, w, held_out):
        answers[part] = log_p
    return answers


def _tried(axes: Basis, labels: Labels, w: Tensor, held_out: Tensor, penalty: float) -> PenaltyFits:
    # Made in one piece: many small ones among the blocks would keep the blocks' memory from being
    # given back.
    out = held_out.any(0)
    answers = torch.empty(int(out.sum()), w.shape[1])
    done = 0
    for part, log_p in answers_of_own_fold(axes, w, held_out):
        own = log_p[out[part]]
        answers[done : done + len(own)] = own
        done += len(own)
    truth = labels[out]
    losses = -answers.gather(1, truth.unsqueeze(1))[:, 0].double().numpy()
    hits = (answers.argmax(1) == truth).numpy()
    return PenaltyFits(penalty, w, answers, losses, hits)
