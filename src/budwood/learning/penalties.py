"""The penalty of a probe, chosen by how well photos that it was not fitted to are predicted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.learning.axes import Axes
from budwood.learning.minimising import Regressions, log_probabilities
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
class Choice:
    """The penalties that were tried, and the fits at the chosen one."""

    candidates: tuple[Candidate, ...]
    start: Tensor
    """Columns `k m+1`: the mean over the folds."""
    held_out: HeldOutAnswers


@dataclass(frozen=True)
class _Tried:
    """A penalty, and what its fits say of the rows that are held out."""

    penalty: float
    columns: Tensor
    answers: Logits
    losses: Tensor
    hits: Tensor

    @property
    def candidate(self) -> Candidate:
        return {
            "penalty": self.penalty,
            "loss": float(self.losses.mean()),
            "standard_error": _standard_error(self.losses),
            "top1": float(self.hits.mean()),
        }


def choose_penalty(
    axes: Axes, labels: Labels, k: int, folds: NDArray[np.integer], bias: bool, features: int
) -> Choice:
    """Held-out loss, its standard error and top-1 of each penalty tried, strongest first.

    All folds are fitted side by side, each penalty from where the last one ended. No weaker
    penalty is tried once the held-out loss has clearly risen, that is, by two standard errors of
    the rise; and no further fold is held out once 10,000 photos are.

    Args:
        axes: The features.
        labels: A class for each row.
        k: Classes.
        folds: A fold for each row.
        bias: Whether the layer has one.
        features: Their number.
    """
    held_out = held_out_folds(folds)
    fits = Regressions(axes, labels, k, (~held_out).float(), bias, torch.float32)
    found: list[_Tried] = []
    best: _Tried | None = None
    w = None
    for penalty in (features * share for share in PENALTIES_PER_FEATURE):
        w = fits.minimise(penalty, w, CLOSE, steps=40)
        tried = _tried(axes, labels, w, held_out, penalty)
        found.append(tried)
        if best is None or tried.losses.mean() < best.losses.mean():
            best = tried
        rise = tried.losses - best.losses
        if rise.mean() > 2 * _standard_error(rise):
            break
    candidates = tuple(tried.candidate for tried in found)
    penalty = one_standard_error(candidates)
    chosen = next(tried for tried in found if tried.penalty == penalty)
    positions = held_out.any(0).nonzero()[:, 0].numpy()
    return Choice(candidates, chosen.columns, HeldOutAnswers(positions, chosen.answers))


def one_standard_error(candidates: tuple[Candidate, ...]) -> float:
    """The strongest penalty whose loss is within one standard error of the least loss.

    Reference: Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.
    """
    best = min(candidates, key=lambda c: c["loss"])
    limit = best["loss"] + best["standard_error"]
    return max(c["penalty"] for c in candidates if c["loss"] <= limit)


def spread_folds(y: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.integer]:
    """A fold for each photo; every class is spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), np.int64)
    start = 0
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        fold[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    return fold


def can_be_held_out(labels: NDArray[np.integer], folds: NDArray[np.integer]) -> bool:
    """True if there are two folds or more, and two classes besides each.

    Example:
        >>> can_be_held_out(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
        True
    """
    numbers = np.unique(folds)
    return len(numbers) > 1 and all(len(np.unique(labels[folds != f])) > 1 for f in numbers)


def held_out_folds(folds: NDArray[np.integer]) -> Tensor:
    """Whether each photo is held out, `p n`, a row for each fold that is: none once 10,000 are."""
    kept: list[Tensor] = []
    for fold in np.unique(folds):
        if sum(int(mask.sum()) for mask in kept) < HELD_OUT:
            kept.append(torch.from_numpy(folds == fold))
    held_out = torch.stack(kept)
    return held_out[~held_out.all(1)]


def answers_of_own_fold(axes: Axes, w: Tensor, held_out: Tensor) -> Iterator[tuple[slice, Tensor]]:
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
    axes: Axes,
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
        penalty: Of every fit.
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


def _tried(axes: Axes, labels: Labels, w: Tensor, held_out: Tensor, penalty: float) -> _Tried:
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
    losses = -answers.gather(1, truth.unsqueeze(1))[:, 0].double()
    hits = (answers.argmax(1) == truth).double()
    return _Tried(penalty, w.mean(0), answers, losses, hits)


def _standard_error(values: Tensor) -> float:
    return float(values.std() / len(values) ** 0.5)
