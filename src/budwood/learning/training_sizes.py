"""How many images a probe gets right that learned from a part of the others, for rising parts.

A draw assigns the images to folds and orders the groups of each fold's training set at random. A
part is the beginning of that order, so that parts lie inside each other, whole groups belong or do
not, and every class keeps its share as well as groups allow. Each image is judged by the probe that
has not learned from its fold. Draws differ at every size, the largest included: there the folds
differ, and so do the training sets.

The probes of all draws and folds of one part are fitted side by side, from where those of the part
before ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.data.splitting import make_folds
from budwood.features.rows import RowSource
from budwood.learning.lbfgs import LabelledRows, Regressions, log_probabilities
from budwood.learning.probe import labelled_rows
from budwood.learning.regularisation import CLOSE, held_out_folds
from budwood.tensors import Features, Labels

FOLDS = 5
DRAWS = 4
"""Times that the images are assigned to folds, and parts drawn of every training set."""
LARGEST = 4 * 2**20
"""Weights of probes that are fitted side by side."""


@dataclass(frozen=True)
class Draw:
    """One assignment to folds, and a random order of each fold's training set."""

    held_out: NDArray[np.bool_]
    """`f n`, a row for each fold."""
    places: NDArray[np.float64]
    """`f n`: a part of share `s` has the images whose place is below `s`; infinite for those that
    are held out."""


@dataclass(frozen=True)
class PartialFit:
    """What probes get right that learned from parts of one size."""

    share: float
    """A part of what the other folds leave."""
    images: int
    """Images that each of them learned from, on average."""
    hits: NDArray[np.float64]
    """`draws n`: 1 where an image that was held out is predicted correctly, else 0; not a number
    where a draw did not hold it out."""


def partial_fits(
    rows: Features | RowSource,
    labels: Labels,
    num_classes: int,
    shares: Sequence[float],
    *,
    l2_strength: float,
    groups: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> Iterator[PartialFit]:
    """What probes get right with each part of the images, shares that rise to 1 at most.

    The L2 strength is that of all rows; a part has its share of it. Parts are passed over that have
    fewer than two images a class, or of which one has a single class.
    """
    known = labelled_rows(rows, labels, num_classes)
    y = known.labels
    draws = [draw(y.numpy(), groups, seed, number) for number in range(DRAWS)]
    held_out = np.concatenate([one.held_out for one in draws])  # q n, q = draws f
    places = np.concatenate([one.places for one in draws])
    number = np.repeat(np.arange(DRAWS), [len(one.held_out) for one in draws])
    least = 2 * len(torch.unique(y))
    start: Tensor | None = None
    before = 0
    for share in shares:
        parts = places < share
        images = round(float(parts.sum(1).mean())) if len(parts) else 0
        if images < least or images == before:
            continue
        if any(len(torch.unique(y[part])) < 2 for part in parts):
            continue
        before = images
        start = _fitted(known, torch.from_numpy(parts), l2_strength, start)
        yield PartialFit(share, images, _hits(known, start, held_out, number))


def draw(
    labels: NDArray[np.integer], groups: NDArray[np.integer] | None, seed: int, number: int
) -> Draw:
    """The folds of a draw and its parts. The first group of every class always belongs."""
    own = np.arange(len(labels)) if groups is None else groups
    state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)
    folds = make_folds(labels, FOLDS, groups=groups, seed=int(state[0]))
    held_out = held_out_folds(folds).numpy()
    places = np.full(held_out.shape, np.inf)
    for fold, out in enumerate(held_out):
        random = np.random.default_rng((seed, number, fold))
        places[fold, ~out] = _places(labels[~out], own[~out], random)
    return Draw(held_out, places)


def _places(
    labels: NDArray[np.integer], groups: NDArray[np.integer], random: np.random.Generator
) -> NDArray[np.float64]:
    """From which share on each image belongs, the same for all of a group.

    The groups of a class follow each other at random; a group of several classes is placed among
    those of the class it has most of. A group's place is that of its middle.
    """
    _, kind = np.unique(labels, return_inverse=True)
    _, own, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = random.random(len(sizes))
    pairs, numbers = np.unique(np.stack([own, kind]), axis=1, return_counts=True)
    # The last pair of each group is the one with most images.
    by_number = np.lexsort((numbers, pairs[0]))
    last = np.flatnonzero(np.diff(pairs[0][by_number], append=-1))
    main = pairs[1][by_number][last]
    sequence = np.lexsort((order, main))
    classes, first = np.unique(main[sequence], return_index=True)
    ends = np.cumsum(sizes[sequence])
    total = np.bincount(main, sizes)
    before = np.zeros(len(total))
    before[classes] = ends[first] - sizes[sequence][first]
    place = np.empty(len(sizes))
    place[sequence] = ends - sizes[sequence] / 2 - before[main[sequence]]
    place /= total[main]
    by_class = np.lexsort((order[pairs[0]], pairs[1]))
    _, first = np.unique(pairs[1][by_class], return_index=True)
    place[pairs[0][by_class][first]] = 0.0
    return place[own]


def _fitted(rows: LabelledRows, parts: Tensor, l2_strength: float, start: Tensor | None) -> Tensor:
    """Columns `q k m+1` of a probe for each part `q n`."""
    together = max(1, LARGEST // (rows.k * (rows.axes.blocks.width + 1)))
    found = []
    for i in range(0, len(parts), together):
        some = slice(i, i + together)
        fits = Regressions(rows, parts[some].float(), torch.float32)
        begin = None if start is None else start[some]
        found.append(fits.minimise(l2_strength, begin, CLOSE, steps=60))
    return torch.cat(found)


def _hits(
    rows: LabelledRows, w: Tensor, held_out: NDArray[np.bool_], number: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Whether each row that a draw holds out is predicted correctly there, `draws n`.

    The fits have columns `q k m+1` and hold out `q n`; `number` says which draw each belongs to.
    """
    y = rows.labels
    hits = np.full((DRAWS, len(y)), np.nan)
    for part, block in rows.axes.blocks.each(torch.float32):
        at = np.arange(len(y))[part]
        for columns, out, i in zip(w, held_out, number, strict=True):
            own = np.flatnonzero(out[part])
            if len(own):
                named = log_probabilities(columns.unsqueeze(0), block[own])[0].argmax(0)
                hits[i, at[own]] = (named == y[part][own]).numpy()
    return hits
