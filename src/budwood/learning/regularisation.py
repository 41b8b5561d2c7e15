"""The L2 strength of a probe, chosen by how well photos that it was not fitted to are predicted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.intervals import standard_error
from budwood.learning.lbfgs import LabelledRows, Regressions, log_probabilities
from budwood.tensors import Logits

L2_STRENGTHS_PER_FEATURE = tuple(10.0 ** (exponent / 2) for exponent in range(2, -7, -1))
"""L2 strengths, strongest first, as multiples of the number of features: with an L2 strength equal
to it, a weight vector of typical size gives logits of about 1."""
HELD_OUT = 10_000
"""Photos that are enough to compare L2 strengths: no further fold is held out."""
CLOSE = 1e-3
"""Gradient, as a part of that at zero, at which a held-out loss has its first three digits."""
CLOSEST = 1e-4
"""Likewise, at which held-out answers are right to the last photo or two."""

Candidate = dict[str, float]


@dataclass(frozen=True)
class HeldOutAnswers:
    """What rows get from fits that have not seen them."""

    positions: NDArray[np.int64]
    """Positions of the rows that were held out, rising."""
    logits: Logits
    """`n k`, their log-probabilities."""


@dataclass(frozen=True)
class L2Choice:
    """The L2 strengths that were tried, and the fits at the chosen one."""

    l2_strength: float
    """The chosen one."""
    candidates: tuple[Candidate, ...]
    start: Tensor
    """Columns `k m+1`: the mean over the folds."""
    held_out: HeldOutAnswers


@dataclass(frozen=True)
class L2Fits:
    """A L2 strength, and what its fits say of the rows that are held out."""

    l2_strength: float
    columns: Tensor
    """`p k m+1`, of each fold's fit."""
    answers: Logits
    losses: NDArray[np.float64]
    hits: NDArray[np.bool_]


def choose_l2_strength(
    rows: LabelledRows, folds: NDArray[np.integer], groups: NDArray[np.integer] | None = None
) -> L2Choice:
    """Held-out loss, its standard error and top-1 of each L2 strength tried, strongest first.

    Rows of one group count as little more than one.
    """
    held_out = held_out_folds(folds)
    out = held_out.any(0).numpy()
    own = None if groups is None else groups[out]
    fits = Regressions(rows, (~held_out).float(), torch.float32)
    found = list(tried_l2_strengths(rows, fits, held_out, own))
    chosen = one_standard_error(found, own)
    # To compare L2 strengths three digits are enough; to be as sharp as a head of all rows is not.
    w = fits.minimise(chosen.l2_strength, chosen.columns, CLOSEST, steps=300)
    candidates = tuple(
        {
            "l2_strength": tried.l2_strength,
            "loss": float(tried.losses.mean()),
            "standard_error": standard_error(tried.losses, own),
            "top1": float(tried.hits.mean()),
        }
        for tried in found
    )
    answers = HeldOutAnswers(np.flatnonzero(out), _answers(rows, w, held_out))
    return L2Choice(chosen.l2_strength, candidates, w.mean(0), answers)


def tried_l2_strengths(
    rows: LabelledRows,
    fits: Regressions,
    held_out: Tensor,
    groups: NDArray[np.integer] | None = None,
) -> Iterator[L2Fits]:
    """What the fits of each L2 strength say of the rows that are held out, `p n`, strongest first.

    All folds are fitted side by side, each L2 strength from where the last one ended. No weaker L2
    strength is tried once the held-out loss has clearly risen, that is, by two standard errors of
    the rise."""
    truth = rows.labels[held_out.any(0)]
    best: L2Fits | None = None
    w = None
    for l2_strength in (rows.blocks.width * share for share in L2_STRENGTHS_PER_FEATURE):
        w = fits.minimise(l2_strength, w, CLOSE, steps=40)
        answers = _answers(rows, w, held_out)
        losses = -answers.gather(1, truth.unsqueeze(1))[:, 0].double().numpy()
        tried = L2Fits(l2_strength, w, answers, losses, (answers.argmax(1) == truth).numpy())
        yield tried
        if best is None or losses.mean() < best.losses.mean():
            best = tried
        rise = losses - best.losses
        if rise.mean() > 2 * standard_error(rise, groups):
            break


def one_standard_error(
    found: Sequence[L2Fits], groups: NDArray[np.integer] | None = None
) -> L2Fits:
    """The strongest L2 strength whose loss is within one standard error of the least loss.

    It is the standard error of the loss itself, which is several times that of a difference of two
    losses: so the L2 strength is stronger than the best, and its answers, once calibrated, are
    better (`benchmarks/regularisation.py`).

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


def answers_at(
    rows: LabelledRows, folds: NDArray[np.integer], l2_strength: float, start: Tensor | None = None
) -> Logits:
    """Log-probabilities `n k` of each row by the fit to the other folds, all fitted side by
    side.

    Each fit begins from `start`, columns `k m+1`, and has its part of the L2 strength of all rows.
    """
    held_out = torch.stack([torch.from_numpy(folds == fold) for fold in np.unique(folds)])
    fits = Regressions(rows, (~held_out).float(), torch.float32)
    begun = None if start is None else start.expand(len(held_out), -1, -1)
    return _answers(rows, fits.minimise(l2_strength, begun, CLOSEST, steps=300), held_out)


def _answers(rows: LabelledRows, w: Tensor, held_out: Tensor) -> Logits:
    """Log-probabilities of the rows that are held out (`p n`), each by the fit (columns `p k
    m+1`) that holds it out."""
    # Made in one piece: many small ones among the blocks would keep the blocks' memory from being
    # given back.
    out = held_out.any(0)
    answers = torch.empty(int(out.sum()), rows.k)
    done = 0
    for part, block in rows.axes.blocks.each(torch.float32):
        problem = held_out[:, part].byte().argmax(0)
        log_p = log_probabilities(w, block)[problem, :, torch.arange(len(block))]  # p k b -> b k
        own = log_p[out[part]]
        answers[done : done + len(own)] = own
        done += len(own)
    return answers
