"""What the features of one stage are worth: a probe, and two scores that need none."""

import time
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from budwood.features.rows import RowSource
from budwood.intervals import accuracy_interval
from budwood.judging.transferability import h_score, logme, spectrum
from budwood.learning.cross_validation import cross_validated
from budwood.learning.probe import Probe
from budwood.tensors import Labels

PHOTOS_OF_SCORES = 5000
"""Photos by which LogME and the H-score are computed at most: they take a decomposition."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What the features of a stage came to."""

    right: NDArray[np.bool_]
    """Which photos the probe gets right while they are held out."""
    top1: float
    interval: tuple[float, float]
    balanced_accuracy: float
    penalty: float
    fit_seconds: float
    logme: float
    h_score: float


def judge_stage(
    rows: RowSource,
    labels: Labels,
    classes: int,
    config: Probe,
    groups: NDArray[np.integer] | None = None,
) -> Judged:
    """A probe on one stage, cross-validated, and what two scores say of its features.

    Args:
        rows: One tensor `n d`.
        labels: `n`.
        classes: Outputs of the probe.
        config: Folds and seed.
        groups: `n`, images of one group are held out together; None: each stands for itself.

    Raises:
        DataError: If no probe can be held out, or a feature is not finite.
    """
    truth = labels.numpy()
    started = time.perf_counter()
    probe = cross_validated(rows, labels, classes, config, groups)
    took = time.perf_counter() - started
    right = probe.logits.argmax(1).numpy() == truth
    some = _spread(truth, PHOTOS_OF_SCORES)
    seen = spectrum(rows.take(some.tolist())[0].float().numpy(), truth[some])
    return Judged(
        right,
        float(right.mean()),
        accuracy_interval(right, groups),
        fmean(float(right[truth == k].mean()) for k in np.unique(truth)),
        probe.penalty,
        took,
        logme(seen, truth[some]),
        h_score(seen, truth[some]),
    )


def _spread(labels: NDArray[np.integer], most: int) -> NDArray[np.integer]:
    """Positions of so many photos at most, spread over the classes."""
    by_class = np.argsort(labels, kind="stable")
    places = np.linspace(0, len(labels) - 1, min(len(labels), most))
    return np.sort(by_class[places.astype(int)])
