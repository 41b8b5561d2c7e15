"""Fitting a network to photos: what trains is solved or trained, what is frozen is proven still."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.data.splits import Split
from budwood.display import displayed
from budwood.errors import FrozenChanged, PhotoError
from budwood.features.gathering import FeatureSet
from budwood.features.rows import RowSource
from budwood.learning.held_out import (
    HeldOutLogits,
    Validation,
    held_out_by_probe,
    held_out_by_training,
)
from budwood.learning.plan import Grafts, Plan
from budwood.learning.probe import FittedProbe, Probe, fit_probe
from budwood.learning.training import Epoch, Training, train_graft, validation_of
from budwood.surgery.fingerprints import changed_tensors, digest_of, frozen_tensors
from budwood.tensors import Labels, Logits


@displayed
@dataclass(frozen=True)
class Fit:
    """What fitting did."""

    history: tuple[Epoch, ...]
    """One dict an epoch; empty for the probe, which is solved and not trained."""
    probe: FittedProbe | None
    train_top1: float
    frozen_unchanged: bool
    """Always true: a changed tensor is an error."""
    photos: int
    fingerprint: str
    """Digest of the training photos and their classes."""
    seconds: float


def fit_plan(
    plan: Plan,
    train: Split,
    val: Split | None,
    training: Training,
    probe: Probe,
) -> tuple[Fit, HeldOutLogits | None, RowSource]:
    """Train what is not frozen in a plan's network, which ends in eval mode.

    With it come what such a network says of photos that it has not learned from, or None if that
    is not known, and the rows that the training photos are judged by.
    """
    before = {name: digest_of(tensor) for name, tensor in frozen_tensors(plan.network).items()}
    gathered = require_readable(plan.training_rows(train.paths))
    started = time.perf_counter()
    targets, groups = torch.from_numpy(train.targets), train.group_numbers
    solved, history = None, list[Epoch]()
    judged = gathered
    if plan.layer is not None:
        solved, held_out = _solve(plan, plan.layer, gathered, targets, groups, probe)
    else:
        untrained, validation = plan.copied_grafts(), _validation(plan, val)
        history = _train(plan, gathered, targets, validation, training)
        judged = plan.judging_rows(train.paths)
    if changed := changed_tensors(before, plan.network):
        raise FrozenChanged(
            f"{len(changed)} frozen tensors changed while training, the first is {changed[0]}.",
            next="Please report this: frozen tensors must never change.",
        )
    if solved is None:
        held_out = _held_out(plan, untrained, gathered, judged, train, val, validation, training)
    names = [train.classes[label] for label in train.labels]
    fit = Fit(
        history=tuple(history),
        probe=solved,
        train_top1=plan.top1(judged, targets),
        frozen_unchanged=True,
        photos=len(train),
        fingerprint=data_fingerprint(gathered.photos, names),
        seconds=time.perf_counter() - started,
    )
    return fit, held_out, judged.rows


def _held_out(
    plan: Plan,
    untrained: Grafts,
    gathered: FeatureSet,
    judged: FeatureSet,
    train: Split,
    val: Split | None,
    validation: Validation | None,
    training: Training,
) -> HeldOutLogits | None:
    """What a graft that was trained says of photos that it has not learned from.

    Validation photos that chose its best epoch are photos that it fits best: they are asked only
    where nothing else can be.
    """
    answered = None
    if val is not None and validation is not None:
        logits = _answers(plan, validation)
        answered = HeldOutLogits(val.targets, logits, val.group_numbers, rows=validation.rows)
        if training.patience is None:
            return answered
    targets = torch.from_numpy(train.targets)
    stopping = None if training.patience is None else validation
    held_out = held_out_by_training(
        untrained, gathered.rows, judged.rows, targets, training, train.group_numbers, stopping
    )
    if held_out is None and answered is not None:
        plan.reporter.note(
            "Its probabilities are calibrated on the validation photos, which chose its best "
            "epoch too: they will be somewhat too sure."
        )
    return held_out or answered


def require_readable(gathered: FeatureSet) -> FeatureSet:
    """The same rows."""
    if not gathered.unreadable:
        return gathered
    path, reason = next(iter(gathered.unreadable.items()))
    raise PhotoError(
        f"{len(gathered.unreadable)} photos cannot be read, the first is {path}: {reason}",
        next="Leave them out with budwood.data.folder.leave_out_unreadable.",
        file=path,
    )


def data_fingerprint(photos: Sequence[bytes], labels: Sequence[str]) -> str:
    """A digest of a set of labelled photos; their order and their file names do not matter."""
    hasher = hashlib.blake2b(digest_size=16)
    for photo, label in sorted(zip(photos, labels, strict=True)):
        hasher.update(photo + label.encode(errors="surrogateescape") + b"\0")
    return hasher.hexdigest()


def _solve(
    plan: Plan,
    layer: nn.Linear,
    gathered: FeatureSet,
    targets: Labels,
    groups: NDArray[np.int64] | None,
    config: Probe,
) -> tuple[FittedProbe, HeldOutLogits | None]:
    features, bias, k = plan.features(gathered), layer.bias is not None, layer.out_features
    solved = fit_probe(features, targets, k, config, bias, groups)
    solved.write_to(layer)
    return solved, held_out_by_probe(features, targets, k, solved, config, bias, groups)


def _train(
    plan: Plan,
    gathered: FeatureSet,
    targets: Labels,
    validation: Validation | None,
    config: Training,
) -> list[Epoch]:
    validate = None
    if validation is not None:
        known = validation
        validate = validation_of(lambda: _answers(plan, known), known.labels)
    try:
        plan.network.train()
        return train_graft(plan.graft, gathered.rows, targets, config, validate, plan.reporter)
    finally:
        plan.network.eval()


def _validation(plan: Plan, val: Split | None) -> Validation | None:
    if val is None:
        return None
    gathered = require_readable(plan.judging_rows(val.paths))
    return Validation(gathered.rows, torch.from_numpy(val.targets))


def _answers(plan: Plan, validation: Validation) -> Logits:
    """What the network says now of validation photos; it is left in the mode it was in."""
    mode = plan.network.training
    plan.network.eval()
    logits = plan.logits_of(validation.rows)
    plan.network.train(mode)
    return logits
