"""What a probe gets right that learned from a part of the photos, for rising parts.

Every photo is judged by probes that have not learned from its fold. Of what the other folds leave,
parts are drawn, each inside the next, with the same share of every class. The probes of all folds
and draws of one part are fitted side by side, from where those of the part before ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.features.rows import RowSource
from budwood.images.folds import make_folds
from budwood.learning.axes import Axes, axes_of
from budwood.learning.minimising import Regressions, log_probabilities
from budwood.learning.penalties import held_out_folds
from budwood.learning.probe import blocks_for
from budwood.tensors import Features, Labels

FOLDS = 5
DRAWS = 2
"""Parts of less than half that are drawn of each fold."""
CLOSE = 1e-3
"""Slope, as a part of that at zero, at which what a probe says of most photos is settled."""
LARGEST = 4 * 2**20
"""Weights of probes that are fitted side by side."""


@dataclass(frozen=True)
class Grown:
    """What probes got right that learned from one part of the photos."""

    share: float
    """Of what the other folds leave."""
    photos: int
    """That each of them learned from."""
    draws: int
    hits: NDArray[np.float64]
    """For each photo that was held out, the share of draws in which it was named rightly."""


def grown(
    rows: Features | RowSource,
    labels: Labels,
    num_classes: int,
    shares: Sequence[float],
    *,
    penalty: float,
    seed: int = 0,
) -> Iterator[Grown]:
    """What probes get right with each part of the photos; parts of fewer than two photos a class
    are passed over.

    Args:
        rows: One tensor `n d`.
        labels: `n`.
        num_classes: Outputs of the probe.
        shares: Parts, rising, above 0 and at most 1.
        penalty: L2 penalty on standardised features, the same for all parts.
        seed: Of folds and draws.

    Raises:
        DataError: As `fit_probe`.
    """
    y = labels.detach().cpu()
    axes = axes_of(blocks_for(rows, y, num_classes, True))
    held_out = held_out_folds(make_folds(y.numpy(), FOLDS, seed=seed))
    least = 2 * len(torch.unique(y))
    places = np.stack(
        [
            [_places(y.numpy(), ~mask.numpy(), seed + draw) for draw in range(DRAWS)]
            for mask in held_out
        ]
    )  # f draws n
    start: Tensor | None = None
    before = 0
    for share in shares:
        draws = DRAWS if share < 0.5 else 1
        parts = torch.from_numpy(places[:, :draws] < share)  # f draws n
        photos = round(float(parts.sum(2).double().mean()))
        if photos < least or photos == before:
            continue
        before = photos
        begin = None if start is None else start[:, :draws].flatten(0, 1)
        w = _fitted(axes, y, num_classes, parts.flatten(0, 1), penalty, begin)
        start = w.view(len(held_out), draws, *w.shape[1:])
        yield Grown(share, photos, draws, _hits(axes, y, start, held_out))


def _places(y: NDArray[np.integer], left: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """For each row from which share on it belongs to the part drawn of those that are left; the
    first of every class always does, and what is not left never."""
    place = np.full(len(y), np.inf)
    random = np.random.default_rng(seed)
    for label in np.unique(y):
        members = random.permutation(np.flatnonzero((y == label) & left))
        place[members] = (np.arange(len(members)) + 0.5) / max(1, len(members))
        place[members[:1]] = 0.0
    return place


def _fitted(
    axes: Axes, y: Labels, k: int, parts: Tensor, penalty: float, start: Tensor | None
) -> Tensor:
    """Columns `p k m+1` of a probe for each part `p n`."""
    together = max(1, LARGEST // (k * (axes.blocks.width + 1)))
    found = []
    for i in range(0, len(parts), together):
        some = slice(i, i + together)
        fits = Regressions(axes, y, k, parts[some].float(), True, torch.float32)
        begin = None if start is None else start[some]
        found.append(fits.minimise(penalty, begin, CLOSE, steps=60))
    return torch.cat(found)


def _hits(axes: Axes, y: Labels, w: Tensor, held_out: Tensor) -> NDArray[np.float64]:
    """Of each row that is held out the share of draws that name it rightly; `w` is `f draws k
    m+1`, `held_out` is `f n`."""
    found = []
    for part, block in axes.blocks.each(torch.float32):
        own = held_out[:, part]
        hits = torch.zeros(own.shape[1], dtype=torch.float64)
        for columns, mask in zip(w, own, strict=True):
            rows = block[mask]
            if len(rows):
                named = log_probabilities(columns, rows).argmax(1)  # draws k b -> draws b
                hits[mask] = (named == y[part][mask]).double().mean(0)
        found.append(hits[own.any(0)])
    return torch.cat(found).numpy()
