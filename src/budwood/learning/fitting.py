"""Fitting a network to images; what is frozen is proven unchanged.

With it goes what such a network says of images that it has not learned from. For a head that
logistic regression fits, every training image is answered by the head fitted to the other folds:
the choice of the L2 strength has fitted them already. For a graft that is trained, validation
images are answered by it where they steered nothing; where they chose its best epoch, or there are
none, a copy is trained on four images in five and answers the fifth, with early stopping where the
first had it. Which of these it is depends on what was asked for, and never on how long something
took.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from budwood.data.splits import Split
from budwood.data.splitting import FOLDS, can_be_held_out, make_folds
from budwood.display import displayed
from budwood.errors import FrozenChanged, ImageError
from budwood.features.gathering import FeatureSet
from budwood.features.rows import RowSource, RowSubset
from budwood.learning.plan import Grafts, Plan
from budwood.learning.probe import FittedProbe, Probe, fit_probe, held_out_logits
from budwood.learning.training import Epoch, Training, train_graft
from budwood.reporter import SILENT, Reporter
from budwood.surgery.fingerprints import changed_tensors, digest_of, frozen_tensors
from budwood.tensors import Labels, Logits


@displayed
@dataclass(frozen=True)
class Fit:
    """What fitting did."""

    history: tuple[Epoch, ...]
    """One dict an epoch; empty for the probe, which has none."""
    probe: FittedProbe | None
    train_top1: float
    frozen_unchanged: bool
    """Always true: a changed tensor is an error."""
    images: int
    fingerprint: str
    """Digest of the training photos and their classes."""
    seconds: float


@dataclass(frozen=True)
class HeldOutLogits:
    """Logits of photos that a classifier has not learned from."""

    labels: NDArray[np.int64]
    logits: Logits
    groups: NDArray[np.int64] | None = None
    """The group of each photo; None where each stands for itself."""
    positions: NDArray[np.int64] | None = None
    """Their positions among the training photos; None if they are validation photos."""
    rows: RowSource | None = None
    """The rows that validation photos are judged by."""


@dataclass(frozen=True)
class Validation:
    """Photos that a graft does not learn from while it is trained."""

    rows: RowSource
    """The rows that they are judged by."""
    labels: Labels
    groups: NDArray[np.int64] | None = None


def fit_plan(
    plan: Plan, train: Split, val: Split | None, training: Training, probe: Probe
) -> tuple[Fit, HeldOutLogits | None, RowSource]:
    """Train what is not frozen in a plan's network, which ends in eval mode.

    With it come what such a network says of photos that it has not learned from, or None if that
    is not known, and the rows that the training photos are judged by.
    """
    before = {name: digest_of(tensor) for name, tensor in frozen_tensors(plan.network).items()}
    gathered = require_readable(plan.training_rows(train.paths))
    started = time.perf_counter()
    targets, groups = torch.from_numpy(train.targets), train.group_numbers
    fitted, history, judged = None, list[Epoch](), gathered
    if plan.layer is not None:
        features, k, bias = plan.features(gathered), plan.layer.out_features, plan.layer.bias
        fitted = fit_probe(features, targets, k, probe, bias is not None, groups)
        fitted.write_to(plan.layer)
    else:
        untrained, validation = plan.copied_grafts(), _validation(plan, val)
        try:
            history = _train(
                plan.grafts, gathered.rows, targets, training, validation, plan.reporter
            )
        finally:
            plan.network.eval()
        judged = plan.judging_rows(train.paths)
    if changed := changed_tensors(before, plan.network):
        raise FrozenChanged(
            f"{len(changed)} frozen tensors changed while training, the first is {changed[0]}.",
            next="Please report this: frozen tensors must never change.",
        )
    if fitted is not None:
        held_out = held_out_by_probe(features, targets, k, fitted, probe, bias is not None, groups)
    else:
        held_out = _held_out(
            plan, untrained, gathered.rows, judged.rows, targets, groups, validation, training
        )
    names = [train.classes[label] for label in train.labels]
    fit = Fit(
        history=tuple(history),
        probe=fitted,
        train_top1=plan.top1(judged, targets),
        frozen_unchanged=True,
        images=len(train),
        fingerprint=data_fingerprint(gathered.images, names),
        seconds=time.perf_counter() - started,
    )
    return fit, held_out, judged.rows


def held_out_by_probe(
    features: RowSource,
    labels: Labels,
    k: int,
    fitted: FittedProbe,
    config: Probe,
    bias: bool,
    groups: NDArray[np.int64] | None = None,
) -> HeldOutLogits | None:
    """All training photos, or 10,000 and more of them; None where a class would be missing from
    all that is learned from.

    Only for an L2 strength that was given, and so not chosen in folds, are folds fitted here.
    """
    truth = labels.numpy()
    folds = make_folds(truth, config.folds, groups=groups, seed=config.seed)
    if not can_be_held_out(truth, folds):
        return None
    known = fitted.held_out
    if known is None:
        logits = held_out_logits(features, labels, k, folds, fitted.l2_strength, bias)
        return HeldOutLogits(truth, logits, groups, np.arange(len(truth)))
    own = known.positions
    return HeldOutLogits(truth[own], known.logits, None if groups is None else groups[own], own)


def held_out_by_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    groups: NDArray[np.int64] | None = None,
    validation: Validation | None = None,
) -> HeldOutLogits | None:
    """One training photo in five, by a second training; None where nothing can be held out.

    Copies of the graft as it was before the first training are trained here. Validation photos
    tell when to stop where they told the first.
    """
    truth = labels.numpy()
    folds = make_folds(truth, FOLDS, groups=groups, seed=config.seed)
    if not can_be_held_out(truth, np.minimum(folds, 1)):
        return None
    out, seen = np.flatnonzero(folds == 0), np.flatnonzero(folds != 0)
    logits = answers_after_training(untrained, rows, judged, labels, config, seen, out, validation)
    return HeldOutLogits(truth[out], logits, None if groups is None else groups[out], out)


def answers_after_training(
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    config: Training,
    seen: NDArray[np.integer],
    out: NDArray[np.integer],
    validation: Validation | None = None,
) -> Logits:
    """Logits of the photos at positions `out` after a training on those at `seen`.

    The grafts are trained here. Without validation photos the training does not stop early.
    """
    if validation is None:
        config = replace(config, patience=None)
    _train(untrained, RowSubset(rows, seen.tolist()), labels[seen], config, validation)
    return untrained.logits(RowSubset(judged, out.tolist()))


def require_readable(gathered: FeatureSet) -> FeatureSet:
    """The same rows; raise if photos could not be read."""
    if not gathered.unreadable:
        return gathered
    path, reason = next(iter(gathered.unreadable.items()))
    raise ImageError(
        f"{len(gathered.unreadable)} photos cannot be read, the first is {path}: {reason}",
        next="Leave them out with budwood.data.folder.leave_out_unreadable.",
        file=path,
    )


def data_fingerprint(images: Sequence[bytes], labels: Sequence[str]) -> str:
    """A digest of a set of labelled photos; their order and their file names do not matter."""
    hasher = hashlib.blake2b(digest_size=16)
    for image, label in sorted(zip(images, labels, strict=True)):
        hasher.update(image + label.encode(errors="surrogateescape") + b"\0")
    return hasher.hexdigest()


def _held_out(
    plan: Plan,
    untrained: Grafts,
    rows: RowSource,
    judged: RowSource,
    labels: Labels,
    groups: NDArray[np.int64] | None,
    validation: Validation | None,
    training: Training,
) -> HeldOutLogits | None:
    """What a graft that was trained says of photos that it has not learned from.

    Validation photos that chose its best epoch are photos that it fits best: they are asked only
    where nothing else can be.
    """
    answered = None
    if validation is not None:
        truth, logits = validation.labels.numpy(), plan.logits_of(validation.rows)
        answered = HeldOutLogits(truth, logits, validation.groups, rows=validation.rows)
        if training.patience is None:
            return answered
    held_out = held_out_by_training(untrained, rows, judged, labels, training, groups, validation)
    if held_out is None and answered is not None:
        plan.reporter.note(
            "Its probabilities are calibrated on the validation photos, which chose its best "
            "epoch too: they will be somewhat too sure."
        )
    return held_out or answered


def _train(
    grafts: Grafts,
    rows: RowSource,
    labels: Labels,
    config: Training,
    validation: Validation | None,
    reporter: Reporter = SILENT,
) -> list[Epoch]:
    def validate() -> tuple[float, float]:
        assert validation is not None
        logits = grafts.logits(validation.rows)
        top1 = float((logits.argmax(1) == validation.labels).float().mean())
        return float(cross_entropy(logits, validation.labels)), top1

    asked = None if validation is None else validate
    return train_graft(grafts.training, rows, labels, config, asked, reporter)


def _validation(plan: Plan, val: Split | None) -> Validation | None:
    if val is None:
        return None
    gathered = require_readable(plan.judging_rows(val.paths))
    return Validation(gathered.rows, torch.from_numpy(val.targets), val.group_numbers)
