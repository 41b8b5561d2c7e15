"""What a run's stored features say further: held-out answers, and what more photos would bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.classifier import Classifier
from budwood.features.gathering import Gathered
from budwood.judging.calibration import fit_temperature, softmax
from budwood.judging.learning_curve import learning_curve
from budwood.learning.penalties import can_be_held_out, spread_folds
from budwood.learning.precision_trial import pooled
from budwood.learning.probe import fit_probe, held_out_logits
from budwood.reporting.facts import Growth, Point
from budwood.tensors import Features

FOLDS = 5


@dataclass(frozen=True)
class Taught:
    """What a linear head can be taught again from."""

    features: Features
    labels: NDArray[np.int64]
    classes: int
    penalty: float
    is_stand_in: bool
    """True if the run's own graft is another."""


def taught(
    model: Classifier, gathered: Gathered, labels: NDArray[np.int64], penalty: float | None
) -> Taught:
    """The training photos' features, and the penalty for a head that is fitted to them.

    Args:
        model: A classifier.
        gathered: Rows for judging of the training photos.
        labels: Their classes.
        penalty: That of the run, if its head was solved.
    """
    plan, k = model.plan, len(model.classes_)
    is_stand_in = plan.layer is None
    if is_stand_in:
        features = pooled(gathered.rows)
    else:
        rows = plan.features(gathered)
        features = rows.take(range(len(rows)))[0].float()
    if penalty is None or is_stand_in:
        penalty = fit_probe(features, torch.from_numpy(labels), k).penalty
    return Taught(features, labels, k, penalty, is_stand_in)


def held_out_probabilities(of: Taught, seed: int) -> NDArray[np.float64] | None:
    """`n k`, of each photo by a head that has not seen it; None where a class would be missing."""
    folds = spread_folds(of.labels, min(FOLDS, len(of.labels)), seed)
    if not can_be_held_out(of.labels, folds):
        return None
    labels = torch.from_numpy(of.labels)
    logits = held_out_logits(of.features, labels, of.classes, folds, of.penalty).numpy()
    return softmax(logits, fit_temperature(logits, of.labels))


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
