"""Features of the published photos, and splits of them drawn anew: what benchmarks of accuracy and
trust share. Rows that are stored are not computed again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import photos_in
from numpy.typing import NDArray

MODEL, HEAD = "efficientnet_lite0", "classifier"


@dataclass(frozen=True)
class Photos:
    """Features `n d` of photos, and their classes."""

    features: Any
    """A tensor."""
    labels: NDArray[np.int64]
    tests: dict[int, int]
    """How many photos of each class the published split tests on."""

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.tests)

    def split_anew(self, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions to train and to test on, each class in its published proportion."""
        random = np.random.default_rng(seed)
        members = [random.permutation(np.flatnonzero(self.labels == k)) for k in self.tests]
        tests = [own[: self.tests[k]] for k, own in enumerate(members)]
        trains = [own[self.tests[k] :] for k, own in enumerate(members)]
        return np.sort(np.concatenate(trains)), np.sort(np.concatenate(tests))


def photos_of(folder: Path, tests: str) -> Photos:
    """All photos of a folder with parts, pooled; `tests` is the part that is published to test."""
    import budwood

    paths = photos_in(folder)
    names = sorted({path.parent.name for path in paths})
    labels = np.array([names.index(path.parent.name) for path in paths])
    network = budwood.build(MODEL, classes=names)
    budwood.unfreeze(budwood.freeze(network, "*"), HEAD)
    model = budwood.Classifier(network)
    gathered = model.gather(paths)
    if gathered.broken:
        raise RuntimeError(f"{len(gathered.broken)} photos cannot be read.")
    rows = model.plan.features(gathered)
    counts = {k: len(list((folder / tests / name).iterdir())) for k, name in enumerate(names)}
    return Photos(rows.take(range(len(rows)))[0], labels, counts)
