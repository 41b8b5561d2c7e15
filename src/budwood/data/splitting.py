"""Setting images aside: for testing, and in turn (folds); stratified, seeded, grouped."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from budwood.errors import ConfigError


def set_aside(
    labels: Sequence[Hashable],
    fraction: float,
    *,
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> npt.NDArray[np.bool_]:
    """Which photos to set aside: of every class the same fraction, to within one photo.

    A class of two or more photos gives at least one and keeps at least one; a class of one keeps
    it. A group is set aside as a whole or not at all, and class shares are as close as groups
    allow: to within the largest. The same seed sets the same photos aside, on any platform.
    """
    if not 0 < fraction < 1:
        raise ConfigError(
            f"A fraction of {fraction} of the photos cannot be set aside.",
            expected="It must lie between 0 and 1, such as 0.2.",
        )
    if seed < 0:
        raise ConfigError(f"The seed is {seed}.", expected="It must be 0 or more.")
    members: dict[Hashable, list[int]] = {}
    for image, group in enumerate(groups if groups is not None else range(len(labels))):
        members.setdefault(group, []).append(image)
    total = Counter(labels)
    missing = {k: min(n - 1, max(1, round(n * fraction))) for k, n in total.items()}
    spare = {label: number - 1 for label, number in total.items()}
    aside = np.zeros(len(labels), dtype=bool)
    # Doubles are the part of numpy's random stream that never changed; its shuffles have.
    order = np.random.default_rng(seed).random(len(members))
    # Not the largest group first: it would always be tested on, and never be trained on.
    for images, _ in sorted(zip(members.values(), order, strict=True), key=lambda m: m[1]):
        counts = Counter(labels[image] for image in images)
        gain = sum(abs(missing[k]) - abs(missing[k] - number) for k, number in counts.items())
        if gain > 0 and all(number <= spare[k] for k, number in counts.items()):
            aside[images] = True
            for label, number in counts.items():
                missing[label] -= number
                spare[label] -= number
    return aside


FOLDS, FEW, FOLDS_OF_FEW = 5, 500, 10
"""Where nothing else is asked for; of few images ten folds cost little, and a fifth less to learn
from would make what is said of held-out images worse than what new ones will show."""


def make_folds(
    labels: NDArray[np.integer],
    folds: int | None = None,
    *,
    groups: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """A fold for each image: every class spread evenly over the folds, no group in two of them.

    Groups of several images choose first, the largest before the others, each the fold that has
    fewest images of its classes. Single images then fill every class up. There are fewer folds if
    there are fewer groups. The same seed spreads alike, on any platform.

    Args:
        labels: `n`, the class of each image.
        folds: Their number; None: five, or ten of at most 500 images.
        groups: `n`, images of one group have one number; None: each image stands for itself.
        seed: Another seed spreads otherwise.
    """
    n = len(labels)
    folds = folds or (FOLDS if n > FEW else FOLDS_OF_FEW)
    _, kind = np.unique(labels, return_inverse=True)
    _, own, sizes = np.unique(
        np.arange(n) if groups is None else groups, return_inverse=True, return_counts=True
    )
    held = np.zeros((max(1, min(folds, len(sizes))), int(kind.max(initial=-1)) + 1), np.int64)
    fold = np.zeros(n, np.int64)
    # Doubles are the part of numpy's random stream that never changed; its shuffles have.
    order = np.random.default_rng(seed).random(len(sizes))
    by_group = np.argsort(own, kind="stable")
    ends = np.cumsum(sizes)
    large = np.flatnonzero(sizes > 1)
    for group in large[np.lexsort((order[large], -sizes[large]))]:
        members = by_group[ends[group] - sizes[group] : ends[group]]
        classes, numbers = np.unique(kind[members], return_counts=True)
        chosen = np.lexsort((held.sum(1), held[:, classes] @ numbers))[0]
        fold[members] = chosen
        held[chosen, classes] += numbers
    alone = np.flatnonzero(sizes[own] == 1)
    alone = alone[np.argsort(order[own[alone]], kind="stable")]
    for k in range(held.shape[1]):
        members = alone[kind[alone] == k]
        given = _filled_up(held[:, k], held.sum(1), len(members))
        fold[members] = np.repeat(np.arange(len(held)), given)
        held[:, k] += given
    return fold


def rare_classes(
    labels: NDArray[np.integer], folds: int, groups: NDArray[np.integer] | None
) -> dict[int, int]:
    """Classes that are in fewer groups than there are folds, with the number of their groups.

    No group is torn for them: some folds hold none of their images out, and a class of one group
    has no image to learn from while that group is held out.
    """
    found = {}
    for k in np.unique(labels).tolist():
        members = np.flatnonzero(labels == k)
        number = len(members) if groups is None else len(np.unique(groups[members]))
        if number < folds:
            found[k] = number
    return found


def can_be_held_out(labels: NDArray[np.integer], folds: NDArray[np.integer]) -> bool:
    """True if there are two folds or more, and two classes besides each."""
    numbers = np.unique(folds)
    return len(numbers) > 1 and all(len(np.unique(labels[folds != f])) > 1 for f in numbers)


def as_groups(groups: Sequence[object]) -> NDArray[np.int64]:
    """Names of groups as numbers, in order of first appearance."""
    number: dict[object, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], np.int64)


def _filled_up(held: NDArray[np.int64], total: NDArray[np.int64], more: int) -> NDArray[np.int64]:
    """How many of `more` images each fold gets, so that what it then holds is as even as can be;
    of folds that hold as many, the one with fewest images in all comes first."""
    first = np.lexsort((total, held))
    given = np.zeros_like(held)
    rising = held[first]
    # The folds that hold fewest are filled to a level: as many of them as `more` reaches.
    room = np.arange(1, len(rising) + 1) * rising - np.cumsum(rising)
    reached = int((room <= more).sum())
    level, over = divmod(more + int(rising[:reached].sum()), reached)
    given[first[:reached]] = level - rising[:reached]
    lowest = first[:reached]
    given[lowest[np.argsort(total[lowest] + given[lowest], kind="stable")[:over]]] += 1
    return given
