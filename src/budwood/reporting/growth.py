"""What a run's stored features say further: what more photos would bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.classifier import Classifier
from budwood.features.gathering import Gathered
from budwood.judging.learning_curve import learning_curve
from budwood.learning.probe import Probe, fit_probe
from budwood.reporting.facts import Growth, Point
from budwood.tensors import Features


@dataclass(frozen=True)
class Taught:
    """What a linear head can be taught again from."""

    features: Features
    labels: NDArray[np.int64]
    classes: int
    groups: NDArray[np.int64] | None
    penalty: float
    is_stand_in: bool
    """True if the run's own graft is another."""


def taught(
    model: Classifier,
    gathered: Gathered,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    penalty: float | None,
    seed: int,
) -> Taught:
    """The training photos' features, and the penalty for a head that is fitted to them.

    Args:
        model: A classifier.
        gathered: Rows for judging of the training photos.
        labels: Their classes.
        groups: Of each; None: each stands for itself.
        penalty: That of the run, if its head was solved.
        seed: Of the run.
    """
    k, is_stand_in = len(model.class_names), model.plan.layer is None
    features = torch.from_numpy(model.head_features(gathered))
    if penalty is None or is_stand_in:
        fitted = fit_probe(features, torch.from_numpy(labels), k, Probe(seed=seed), groups=groups)
        penalty = fitted.penalty
    return Taught(features, labels, k, groups, penalty, is_stand_in)


def growth_of(of: Taught, seed: int) -> Growth | None:
    """The learning curve of a linear head; None if there are too few photos for one."""
    curve = learning_curve(
        of.features, torch.from_numpy(of.labels), of.classes, penalty=of.penalty, seed=seed
    )
    return told_growth(curve.to_json(), of.is_stand_in)


def told_growth(curve: Mapping[str, Any], is_stand_in: bool) -> Growth | None:
    """The learning curve that a run wrote down; None if there are too few points for one.

    Args:
        curve: The object `learning_curve` of `train --json`.
        is_stand_in: True if the run's own graft is no linear head.
    """
    points = tuple(Point(p["photos"], p["top1"], tuple(p["interval"])) for p in curve["points"])
    if len(points) < 2:
        return None
    more = curve["forecast"]
    forecast = more and Point(more["photos"], more["top1"], tuple(more["interval"]))
    return Growth(points, forecast, more["extra_per_class"] if more else 0, is_stand_in)
