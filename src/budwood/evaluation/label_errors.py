"""Photos whose label is probably wrong, and pairs that may be of one picture, by their features.

A label is judged by those who have not seen its photo. Two opinions are averaged, since they err on
different photos: a linear probe, fitted without the photo and everything that belongs together with
it, and the labels of the nearest photos. The probe is fitted twice: what the first doubts, the
second does not learn from, so that wrong labels vouch for each other less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.data.splitting import can_be_held_out, make_folds
from budwood.errors import DataError
from budwood.evaluation.calibration import fit_temperature, softmax
from budwood.learning.probe import Probe, cross_validated, fit_probe, held_out_logits
from budwood.learning.streaming import FeatureRows

LIKE, NEAREST = 0.6, 4
"""Cosine of features, and how many of the nearest: pairs that may be copies of one picture."""
_ROWS = 1024  # that are compared with all others at once
_CLOSE = 1e-6  # probabilities that differ by less are equal


@dataclass(frozen=True)
class Suspect:
    """A photo whose label is probably wrong."""

    image: int
    label: int
    suggestion: int
    """The class that it more probably is."""
    probability: float
    """The suggestion's, by a classifier that has not seen the photo."""
    label_probability: float


def suspects(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> list[Suspect]:
    """The photos whose label is probably wrong, the worst first.

    Confident learning, by probabilities `n k` of a classifier that has not seen the photo: how
    often each class is taken for each other one tells how many labels are wrong, and those that are
    least believed are taken.

    Reference: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset
    Labels", JAIR 2021, as the library cleanlab does it (`prune_by_class`).
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError("Labels are judged by those of other classes: two are needed.")
    # Classes without photos take no part.
    among = probabilities[:, present].astype(np.float64)
    among = np.clip(among, 1e-12, None)
    among /= among.sum(1, keepdims=True)
    own = np.searchsorted(present, labels)
    found = []
    for image in _issues(among, own):
        best = int(among[image].argmax())
        if best != own[image]:
            sure, own_sure = float(among[image, best]), float(among[image, own[image]])
            label, better = int(labels[image]), int(present[best])
            found.append(Suspect(int(image), label, better, sure, own_sure))
    return found


def _issues(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The images with a label issue by confident learning, the least believed label first."""
    n, k = probabilities.shape
    own = probabilities[np.arange(n), labels]
    thresholds = np.array([own[labels == c].mean() for c in range(k)])
    confident = probabilities >= np.maximum(thresholds, 2 * _CLOSE) - _CLOSE
    several = confident.sum(1) > 1
    guess = np.where(several, probabilities.argmax(1), confident.argmax(1))
    some = confident.any(1)
    joint = np.zeros((k, k))
    np.add.at(joint, (guess[some], labels[some]), 1)
    np.fill_diagonal(joint, joint.diagonal().clip(min=1))
    joint = joint / joint.sum(0) * np.bincount(labels, minlength=k)
    joint = joint / joint.sum() * n
    is_issue = np.zeros(n, bool)
    for c in range(k):
        members = np.flatnonzero(labels == c)
        doubted = len(members) - _rounded(joint[:, c])[c]
        if len(members) > 1:
            is_issue[members[np.argsort(own[members])[:doubted]]] = True
    favoured = probabilities.copy()
    favoured[np.arange(n), labels] += _CLOSE
    is_issue &= favoured.argmax(1) != labels
    issues = np.flatnonzero(is_issue)
    return issues[np.argsort(own[issues])]


def _rounded(row: NDArray[np.float64]) -> NDArray[np.intp]:
    """Whole numbers of the same sum: those that rounding moved furthest are moved back."""
    whole = row.round()
    missing = int(row.sum().round() - whole.sum())
    if missing:
        order = np.argsort(row - whole)
        whole[order[-missing:] if missing > 0 else order[:-missing]] += np.sign(missing)
    return whole.astype(np.intp)


def neighbours(
    features: NDArray[np.floating], least: float = LIKE, most: int = NEAREST
) -> list[tuple[int, int]]:
    """Pairs of photos of which one is among the other's `most` nearest, by a cosine of `least`
    or more once the mean of all photos has been taken off."""
    rows = features - features.mean(0, dtype=np.float64)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    rows = rows.astype(np.float32)
    found = set()
    count = min(most, len(rows) - 1)
    for start in range(0, len(rows), _ROWS) if count > 0 else ():
        cosines = rows[start : start + _ROWS] @ rows.T
        own = np.arange(len(cosines))
        cosines[own, own + start] = -2
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        first, place = np.nonzero(np.take_along_axis(cosines, nearest, 1) > least)
        for a, b in zip((first + start).tolist(), nearest[first, place].tolist(), strict=True):
            found.add((min(a, b), max(a, b)))
    return sorted(found)


VOTERS, VOICE = 15, 1 / 3
"""Photos whose labels are asked, and the weight of their opinion."""
SHARPNESS = 8.0
"""How much more a nearer one counts: by the exponential of so many times the cosine."""
DOUBT = 0.02
"""Added to the vote for each class, so that none is impossible."""


def held_out_opinions(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    k: int,
    seed: int = 0,
) -> NDArray[np.float64] | None:
    """Probabilities `n k` of each photo, by those who have seen nothing of its group.

    None if nothing can be held out: there are photos of less than two groups, or of less than
    two classes besides those of some fold.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    if not can_be_held_out(labels, make_folds(labels, groups=groups, seed=seed)):
        return None
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    first = cross_validated(FeatureRows(x), y, k, Probe(seed=seed), groups)
    logits, folds, l2_strength = first.logits.clone(), first.folds, first.l2_strength
    doubted = _with_their_groups(suspects(_calibrated(logits, labels, groups), labels), groups)
    if doubted.any() and can_be_held_out(labels[~doubted], folds[~doubted]):
        verified = torch.from_numpy(~doubted)
        logits[verified] = held_out_logits(
            x[verified], y[verified], k, folds[~doubted], l2_strength
        )
        probe = fit_probe(x[verified], y[verified], k, Probe(l2_strength=l2_strength))
        logits[~verified] = probe.logits(x[~verified])
    votes = _votes(x, y, groups, k)
    return (1 - VOICE) * _calibrated(logits, labels, groups) + VOICE * votes


def _calibrated(
    logits: Tensor, labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    return softmax(logits.numpy(), fit_temperature(logits.numpy(), labels, groups))


def _with_their_groups(found: Sequence[Suspect], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.isin(groups, groups[[suspect.image for suspect in found]])


def _votes(x: Tensor, y: Tensor, groups: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The share `n k` of each class among the nearest photos of other groups, by direction."""
    rows = torch.nn.functional.normalize(x - x.mean(0), dim=1)
    of = torch.from_numpy(groups)
    votes = torch.zeros(len(x), k)
    for start in range(0, len(x), _ROWS):
        some = slice(start, start + _ROWS)
        cosines = rows[some] @ rows.T
        cosines[of[some, None] == of] = -torch.inf
        nearest = cosines.topk(min(VOTERS, len(x)), 1)
        weights = (SHARPNESS * nearest.values).softmax(1)
        votes[some].scatter_add_(1, y[nearest.indices], weights)
    votes += DOUBT
    shares: NDArray[np.float64] = (votes / votes.sum(1, keepdim=True)).double().numpy()
    return shares
