"""What a fitted network comes to on labelled images, and what held-out images say of it."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from budwood.features.gathering import Gathered
from budwood.features.rows import RowSource, Selected
from budwood.images.splits import Split
from budwood.judging.honesty import Verdict, honesty_of
from budwood.judging.metrics import evaluate_logits
from budwood.judging.selective import SelectiveRule
from budwood.judging.trust import HeldOutImages, Trust, learned_trust
from budwood.learning.blocks import spans
from budwood.learning.held_out import HeldOut
from budwood.learning.plan import Plan
from budwood.learning.precision_trial import pooled

JUDGED_AT_ONCE = 1024
"""Images whose features are looked at together, to see which are out of distribution."""


def verdict_on(
    split: Split, gathered: Gathered, plan: Plan, trust: Trust | None, rule: SelectiveRule | None
) -> Verdict:
    """What a network comes to on labelled images, from their rows for judging."""
    logits, targets, groups = plan.logits(gathered), split.targets, split.group_numbers
    labels, scaled = torch.from_numpy(targets), logits / temperature_of(trust)
    ood = ood_of(trust, gathered.rows)
    return Verdict(
        evaluate_logits(scaled, labels, split.classes, split.paths, groups=groups),
        honesty_of(trust, logits.numpy(), targets, ood, rule, groups),
        (logits.argmax(1) == labels).numpy(),
    )


def temperature_of(trust: Trust | None) -> float:
    """What logits are divided by before they become probabilities; 1 if that is not known."""
    return 1.0 if trust is None else trust.temperature


def ood_of(trust: Trust | None, rows: RowSource) -> NDArray[np.bool_] | None:
    """Which images are out of distribution, by their rows; None if that is not known."""
    known = None if trust is None else trust.familiar
    if known is None:
        return None
    parts = spans(len(rows), JUDGED_AT_ONCE)
    some = (Selected(rows, range(part.start, part.stop)) for part in parts)
    found = [known.is_strange(pooled(each).numpy()) for each in some]
    return np.concatenate([np.empty(0, np.bool_), *found])


def trust_from(
    train: Split, held_out: HeldOut | None, rows: RowSource, on_note: Callable[[str], None]
) -> Trust | None:
    """What held-out images say of a network; None, which is noted, where none was held out.

    Args:
        train: The images that it was fitted to.
        held_out: What it says of images that it has not learned from.
        rows: The rows for judging of the training images.
        on_note: Told what the user should know.
    """
    if held_out is None:
        on_note("Its probabilities are not calibrated: no photo was held out of training.")
        return None
    answered = rows if held_out.rows is None else held_out.rows
    places = np.arange(len(answered)) if held_out.positions is None else held_out.positions
    images = HeldOutImages(
        held_out.logits.numpy(),
        held_out.labels,
        held_out.groups,
        held_out.positions,
        lambda some: _pooled(answered, places[some]),
    )
    return learned_trust(
        images, train.targets, train.group_numbers, lambda some: _pooled(rows, some)
    )


def _pooled(rows: RowSource, some: NDArray[np.integer]) -> NDArray[np.floating]:
    features: NDArray[np.float32] = pooled(Selected(rows, some.tolist())).numpy()
    return features
