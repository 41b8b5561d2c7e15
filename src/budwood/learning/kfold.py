"""Cross-validation of a head: every photo is answered by one that has not seen its fold."""

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.data.labels import Note, few_or_one
from budwood.data.splits import Split
from budwood.data.splitting import can_be_held_out, make_folds, rare_classes
from budwood.errors import ConfigError
from budwood.features.rows import RowSource, RowSubset
from budwood.learning.fitting import answers_after_training, require_readable
from budwood.learning.plan import Plan
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.streaming import spans
from budwood.learning.training import Training
from budwood.tensors import Labels, Logits
from budwood.text import count

ANSWERED_AT_ONCE = 4096
"""Rows whose features are in memory at once."""


def hits_of_folds(
    plan: Plan, images: Split, k: int, training: Training, probe: Probe, seed: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.integer]]:
    """Which photos a head that was fitted to the other folds classifies correctly, and the folds.

    Each fold's head is fitted as the whole one is, the choice of its L2 strength included; a graft
    that is trained starts from the plan's present weights each time, and without early stopping.
    The plan's network stays as it is."""
    require_folds(images, k)
    gathered = require_readable(plan.training_rows(images.paths))
    labels = torch.from_numpy(images.targets)
    groups = images.group_numbers
    folds = make_folds(images.targets, k, groups=groups, seed=seed)
    right = np.empty(len(images), np.bool_)
    if plan.layer is not None:
        judged = plan.features(gathered)
    else:
        judged = require_readable(plan.judging_rows(images.paths)).rows
    for fold in np.unique(folds):
        seen, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if plan.layer is not None:
            logits = _answers_after_solving(judged, labels, plan.layer, probe, seen, out, groups)
        else:
            copies = plan.copied_grafts()
            logits = answers_after_training(
                copies, gathered.rows, judged, labels, training, seen, out
            )
        right[out] = (logits.argmax(1) == labels[out]).numpy()
    return right, folds


def require_folds(images: Split, k: int) -> list[str]:
    """Check that photos can be put into so many folds; what the user should know of them."""
    if k < 2:
        raise ConfigError(f"{k} folds were asked for.", expected="There must be at least 2.")
    name, least = min(images.counts().items(), key=lambda item: item[1])
    if least < k:
        number = f"{'is' if least == 1 else 'are'} {count(least, 'photo')}"
        raise ConfigError(
            f"{k} folds are too many: there {number} of class {name!r}.",
            expected="Every fold needs a photo of every class.",
            next=f"Ask for at most {least} folds." if least > 1 else f"Add photos of {name!r}.",
        )
    folds = make_folds(images.targets, k, groups=images.group_numbers)
    if not can_be_held_out(images.targets, folds):
        raise ConfigError(
            "Photos that belong together are never torn apart, and so none can be held out: "
            "some fold would hold out all photos of all classes but one.",
            expected="Two classes must have photos of two groups or more.",
            next="Add photos of other scenes, or correct the column of groups.",
        )
    rare = rare_classes(images.targets, k, images.group_numbers)
    notes = [
        Note(
            "few-groups",
            f"Class {images.classes[label]!r} has photos of {count(number, 'group')} only, and "
            "groups are not torn: "
            + (
                "while it is held out no other shows the class, so it counts as wrong."
                if number == 1
                else f"{k - number} of {k} folds hold out none of them."
            ),
        )
        for label, number in rare.items()
    ]
    many = (
        f"{{number}} classes have photos of fewer groups than there are folds ({k}), and groups "
        "are not torn: some folds hold out none of them. They are {names}."
    )
    names = [repr(images.classes[label]) for label in rare]
    return [str(note) for note in few_or_one(notes, names, many)]


def _answers_after_solving(
    features: RowSource,
    labels: Labels,
    layer: torch.nn.Linear,
    config: Probe,
    seen: NDArray[np.integer],
    out: NDArray[np.integer],
    groups: NDArray[np.int64] | None,
) -> Logits:
    rows, bias = RowSubset(features, seen.tolist()), layer.bias is not None
    own = None if groups is None else groups[seen]
    fitted = fit_probe(rows, labels[seen], layer.out_features, config, bias, own)
    parts = [features.take(out[part].tolist())[0] for part in spans(len(out), ANSWERED_AT_ONCE)]
    return torch.cat([fitted.logits(part) for part in parts])
