"""Fitting a network to photos: what trains is solved or trained, what is frozen is proven still."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from budwood.errors import FrozenChanged, PhotoError
from budwood.features.gathering import Gathered
from budwood.features.rows import RowSource
from budwood.images.splits import Split
from budwood.learning.held_out import HeldOut, held_out_by_probe, held_out_by_training
from budwood.learning.plan import Plan
from budwood.learning.probe import FittedProbe, Probe, fit_probe
from budwood.learning.training import Epoch, Training, train_graft
from budwood.surgery.fingerprints import changed_tensors, digest_of, frozen_tensors
from budwood.tensors import Labels


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
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Fit, HeldOut | None, RowSource]:
    """Train what is not frozen in a plan's network, which ends in eval mode.

    With it come what such a network says of photos that it has not learned from, or None if that
    is not known, and the rows that the training photos are judged by.

    Args:
        plan: How the network is cut, and whether its head is solved.
        train: Photos to learn from.
        val: Photos that steer early stopping and nothing else.
        training: How a graft is trained.
        probe: How a linear head is solved.
        on_epoch: Told each epoch's row of the history.

    Raises:
        PhotoError: If a photo is broken.
        FrozenChanged: If a frozen tensor changed.
    """
    before = {name: digest_of(tensor) for name, tensor in frozen_tensors(plan.network).items()}
    gathered = require_readable(plan.training_rows(train.paths))
    started = time.perf_counter()
    targets = torch.from_numpy(train.targets)
    solved, history = None, list[Epoch]()
    if plan.layer is not None:
        solved, held_out = _solve(plan, plan.layer, gathered, targets, probe)
    else:
        untrained = plan.copied_grafts()
        history = _train(plan, gathered, targets, val, training, on_epoch)
    if changed := changed_tensors(before, plan.network):
        raise FrozenChanged(
            f"{len(changed)} frozen tensors changed while training, the first is {changed[0]}.",
            next="Please report this: frozen tensors must never change.",
        )
    judged = gathered
    if solved is None:
        took = time.perf_counter() - started
        judged = plan.judging_rows(train.paths)
        held_out = held_out_by_training(
            untrained, gathered.rows, judged.rows, targets, training, took
        ) or _validated(plan, val)
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


def _validated(plan: Plan, val: Split | None) -> HeldOut | None:
    """What the network says of validation photos, which steered no more than when it stopped."""
    if val is None:
        return None
    return HeldOut(val.targets, plan.logits(require_readable(plan.judging_rows(val.paths))))


def require_readable(gathered: Gathered) -> Gathered:
    """The same rows.

    Raises:
        PhotoError: If a photo is broken; `file` is the first.
    """
    if not gathered.broken:
        return gathered
    path, reason = next(iter(gathered.broken.items()))
    raise PhotoError(
        f"{len(gathered.broken)} photos cannot be read, the first is {path}: {reason}",
        next="Leave them out with budwood.images.broken.leave_out_broken.",
        file=path,
    )


def data_fingerprint(photos: Sequence[bytes], labels: Sequence[str]) -> str:
    """A digest of a set of labelled photos; their order and their file names do not matter."""
    hasher = hashlib.blake2b(digest_size=16)
    for photo, label in sorted(zip(photos, labels, strict=True)):
        hasher.update(photo + label.encode() + b"\0")
    return hasher.hexdigest()


def _solve(
    plan: Plan, layer: nn.Linear, gathered: Gathered, targets: Labels, config: Probe
) -> tuple[FittedProbe, HeldOut | None]:
    features, bias = plan.features(gathered), layer.bias is not None
    solved = fit_probe(features, targets, layer.out_features, config, bias)
    solved.write_to(layer)
    held_out = held_out_by_probe(features, targets, layer.out_features, solved, config, bias)
    return solved, held_out


def _train(
    plan: Plan,
    gathered: Gathered,
    targets: Labels,
    val: Split | None,
    config: Training,
    on_epoch: Callable[[Epoch], None] | None,
) -> list[Epoch]:
    validate = None if val is None else _validation(plan, val)
    try:
        plan.network.train()
        return train_graft(
            plan.graft, gathered.rows, targets, config, validate, on_epoch, plan.on_note
        )
    finally:
        plan.network.eval()


def _validation(plan: Plan, val: Split) -> Callable[[], tuple[float, float]]:
    gathered = require_readable(plan.judging_rows(val.paths))
    targets = torch.from_numpy(val.targets)

    def loss_and_top1() -> tuple[float, float]:
        plan.network.eval()
        logits = plan.logits(gathered)
        plan.network.train()
        loss = cross_entropy(logits, targets)
        return float(loss), float((logits.argmax(1) == targets).float().mean())

    return loss_and_top1
