"""Features of the published photos, and splits of them drawn anew: what benchmarks of accuracy and
trust share. Rows that are stored are not computed again."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from measuring import images_in
from numpy.typing import NDArray

MODEL, HEAD = "efficientnet_lite0", "classifier"


@dataclass(frozen=True)
class Images:
    """Features `n d` of photos, and their classes."""

    features: Any
    """A tensor."""
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    """Copies of a picture and bursts have one number."""
    tests: dict[int, int]
    """How many photos of each class the published split tests on."""

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.tests)

    def split_anew(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions to train and to test on, each class in its published proportion; a group that
        lies on both sides comes to train as a whole."""
        random = np.random.default_rng(seed)
        members = [random.permutation(np.flatnonzero(self.labels == k)) for k in self.tests]
        is_test = np.zeros(len(self.labels), np.bool_)
        for k, own in enumerate(members):
            is_test[own[: self.tests[k]]] = True
        is_test &= ~np.isin(self.groups, self.groups[~is_test])
        return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def images_of(folder: Path, tests: str) -> Images:
    """All photos of a folder with parts, pooled; `tests` is the part that is published to test."""
    import budwood
    from budwood.data.duplicates import together

    paths = images_in(folder)
    names = sorted({path.parent.name for path in paths})
    labels = np.array([names.index(path.parent.name) for path in paths])
    network = budwood.build(MODEL, classes=names)
    budwood.unfreeze(budwood.freeze(network, "*"), HEAD)
    model = budwood.Classifier(network)
    gathered = model.gather(paths)
    if gathered.unreadable:
        raise RuntimeError(f"{len(gathered.unreadable)} photos cannot be read.")
    rows = model.plan.features(gathered)
    counts = {k: len(list((folder / tests / name).iterdir())) for k, name in enumerate(names)}
    groups = np.array(together(paths).groups)
    return Images(rows.take(range(len(rows)))[0], labels, groups, counts)


def over_splits(values: Sequence[float], train: int, test: int) -> tuple[float, float, float]:
    """The mean of what random splits of one set of photos gave, and its 95 % interval.

    Splits share photos, so their spread says too little: the variance is that of Nadeau and
    Bengio's corrected resampled t-test, and the interval Student's.

    Args:
        values: One for each split.
        train: Photos that each trains on.
        test: Photos that each tests on.

    Reference: Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 2003.
    """
    from scipy.stats import t

    middle = mean(values)
    if len(values) < 2:
        return middle, float("-inf"), float("inf")
    error = stdev(values) * sqrt(1 / len(values) + test / train)
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return middle, middle - reach, middle + reach
