"""The linear probe: the optimum of multinomial logistic regression, not an approximation of it.

    on standardised features, minimise over W, b:  sum of cross entropies + (L2 / 2) * |W|^2

The L2 strength is chosen by cross-validation on the training features (`regularisation.py`). Three
facts make that fast. In the principal axes of the features the curvature of the loss is nearly
diagonal and known beforehand. All folds are solved side by side, as columns of one product with the
same features (`lbfgs.py`), and each L2 strength starts where the last one ended. And single
precision is enough to compare L2 strengths: only the last steps to the optimum are in float64.
Features are read a block of rows at a time (`streaming.py`), so that they may be larger than
memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from budwood.data.splitting import can_be_held_out, make_folds
from budwood.display import displayed
from budwood.errors import DataError
from budwood.features.rows import IN_MEMORY, Axes, LiveRows, RowSource, RowSubset
from budwood.fields import Checked, setting
from budwood.learning.lbfgs import LabelledRows, Regressions
from budwood.learning.regularisation import (
    Candidate,
    HeldOutAnswers,
    answers_at,
    choose_l2_strength,
)
from budwood.learning.streaming import (
    BLOCK_BYTES,
    FeatureRows,
    predict_logits,
    standardised,
)
from budwood.settings import same
from budwood.tensors import Features, Labels, Logits


@displayed
@dataclass(frozen=True, kw_only=True)
class Probe(Checked):
    """How the linear probe is fitted."""

    folds: int | None = setting(
        None,
        "Folds for choosing the L2 strength by cross-validation; None: five, or ten of few images.",
        at_least=2,
    )
    l2_strength: float | None = setting(
        None,
        "L2 strength on standardised features; None chooses it by cross-validation.",
        above=0,
        below=float("inf"),
    )
    seed: int = same("seed")


@displayed
@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe: a linear layer for raw features, and how its L2 strength was chosen."""

    weight: torch.Tensor
    """`k d` float32: standardisation is folded in."""
    bias: torch.Tensor
    """`k` float32."""
    l2_strength: float
    loss: float
    """Mean cross entropy on the training features."""
    candidates: tuple[Candidate, ...] = ()
    """For each L2 strength tried: its cross-validated mean loss, standard error and top-1."""
    held_out: HeldOutAnswers | None = field(default=None, repr=False, compare=False)
    """What the folds' fits at the chosen L2 strength say of photos that they have not seen; None if
    the L2 strength was given."""

    @property
    def cross_validated_top1(self) -> float | None:
        """Top-1 of the chosen L2 strength on features it was not fitted to; None if none was
        tried."""
        return next(
            (c["top1"] for c in self.candidates if c["l2_strength"] == self.l2_strength), None
        )

    def logits(self, features: Features) -> Logits:
        """The logits of raw features."""
        return features.float() @ self.weight.T + self.bias

    def write_to(self, layer: nn.Linear) -> None:
        """Put the solution into a linear layer of a network."""
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            if layer.bias is not None:
                layer.bias.copy_(self.bias)


@dataclass(frozen=True)
class CrossValidatedLogits:
    """What a probe says of photos that are held out in turn."""

    logits: Logits
    """`n k`, log-probabilities."""
    folds: NDArray[np.int64]
    """Which part each photo was held out with."""
    l2_strength: float
    """Chosen as for a head that is fitted."""


def fit_probe(
    features: Features | RowSource,
    labels: Labels,
    num_classes: int,
    config: Probe = Probe(),
    bias: bool = True,
    groups: NDArray[np.integer] | None = None,
) -> FittedProbe:
    """The linear classifier of least regularised loss on these features; no randomness in it.

    Memory beside the features: what `streaming.py` keeps of them, at most 128 MB, one block, and a
    few times the weights.

    Args:
        features: One row a photo; a `RowSource` of one tensor is read a block at a time.
        labels: Its class, 0 to `num_classes` - 1.
        num_classes: Outputs of the layer.
        config: The L2 strength, or how it is chosen.
        bias: False for a layer without one.
        groups: `n`, photos of one group are held out together; None: each stands for itself.

    Raises:
        DataError: If there are fewer than two photos or classes, a label is no class, or a
            feature is not finite.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> probe = fit_probe(x, torch.tensor([0, 0, 1, 1]), 2, Probe(folds=2))
        >>> (x @ probe.weight.T + probe.bias).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    rows = labelled_rows(features, labels, num_classes, bias)
    choice, l2_strength = None, config.l2_strength
    if l2_strength is None:
        folds = make_folds(rows.labels.numpy(), config.folds, groups=groups, seed=config.seed)
        choice = choose_l2_strength(rows, folds, groups)
        l2_strength = choice.l2_strength
    w, loss = _optimum(rows, l2_strength, None if choice is None else choice.start)
    weight = rows.axes.weights(w[:, :-1]) / rows.blocks.scale  # k d
    offset = w[:, -1] - weight @ rows.blocks.centre
    return FittedProbe(
        weight.float(),
        offset.float(),
        l2_strength,
        loss,
        candidates=() if choice is None else choice.candidates,
        held_out=None if choice is None else choice.held_out,
    )


def held_out_logits(
    features: Features | RowSource,
    labels: Labels,
    num_classes: int,
    folds: NDArray[np.integer],
    l2_strength: float,
    bias: bool = True,
) -> Logits:
    """What each photo gets from a probe that was fitted to the other folds: log-probabilities.

    All folds are fitted side by side. Each probe has the part of the L2 strength that it has of the
    rows, so that it is as sharp as one of all rows. Features are standardised with all rows;
    labels of a fold are seen by no probe that answers for it.
    """
    numbers = len(np.unique(folds))
    rows = labelled_rows(features, labels, num_classes, bias)
    if numbers < 2:
        raise DataError(f"Photos are held out in turn, and there are {numbers} folds.")
    return answers_at(rows, folds, l2_strength)


def folds_to_hold_out(
    labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """The folds in which these photos are held out in turn; raise if they cannot be."""
    found = make_folds(labels, folds, groups=groups, seed=seed)
    if not can_be_held_out(labels, found):
        classes = len(np.unique(labels))
        raise DataError(
            f"{len(labels)} photos of {classes} classes cannot be held out in turn.",
            expected="Two classes must have two training photos each, at least"
            + (", that do not belong together." if groups is not None else "."),
            next="Add photos.",
        )
    return found


def cross_validated(
    features: Features | RowSource,
    labels: Labels,
    k: int,
    config: Probe,
    groups: NDArray[np.integer] | None = None,
) -> CrossValidatedLogits:
    """What the probe of each fold says of the photos of that fold; none is fitted to all photos.

    Features are read, and their axes found, once for the choice of the L2 strength and the answers.
    They are standardised with all rows; labels of a fold are seen by no probe that answers for it.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 1])
        >>> cross_validated(x, labels, 2, Probe(folds=3)).logits.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    folds = folds_to_hold_out(labels.numpy(), groups, config.folds, config.seed)
    rows = labelled_rows(features, labels, k)
    l2_strength, start = config.l2_strength, None
    if l2_strength is None:
        choice = choose_l2_strength(rows, folds, groups)
        l2_strength, start = choice.l2_strength, choice.start
    return CrossValidatedLogits(answers_at(rows, folds, l2_strength, start), folds, l2_strength)


def labelled_rows(
    features: Features | RowSource, labels: Labels, k: int, bias: bool = True
) -> LabelledRows:
    """Standardised features in blocks of a size that suits `k` classes, and their labels."""
    rows = FeatureRows(features) if isinstance(features, Tensor) else features
    y = labels.detach().cpu()
    _require_classes(len(rows), y, k)
    d = rows.take(range(1))[0].shape[1]
    blocks = standardised(rows, bias, max(1, BLOCK_BYTES // (4 * max(d, k))))
    if not bool(blocks.scale.isfinite().all()):
        raise DataError("Some features are not finite.", next="Check the weights of the network.")
    return LabelledRows(blocks, y, k, bias)


def _optimum(rows: LabelledRows, l2_strength: float, start: Tensor | None) -> tuple[Tensor, float]:
    """The columns `k m+1` of all photos, and the mean cross entropy."""
    near = Regressions(rows, torch.ones(1, len(rows.labels)), torch.float32)
    w = None if start is None else start.unsqueeze(0)
    w = near.minimise(l2_strength, w, 1e-5, steps=300)
    exact = near.exactly()
    w = exact.minimise(l2_strength, w, 3e-7, steps=300)
    values, _ = exact.value_and_gradient(w, 0.0)
    return w[0], float(values) / len(rows.labels)


def _require_classes(images: int, y: Labels, k: int) -> None:
    if images != len(y) or images < 2:
        raise DataError(f"A probe needs at least two photos, got {images} and {len(y)} labels.")
    if len(torch.unique(y)) < 2:
        raise DataError("A probe needs photos of at least two classes.")
    if not 0 <= y.min() <= y.max() < k:
        raise DataError(
            f"The labels go from {y.min()} to {y.max()}.",
            expected=f"They index {k} classes, from 0 on.",
        )


PROBED_ROWS = 32
"""Rows by which it is seen whether a layer is a network's last."""


def probed_layer(graft: nn.Module, shapes: Sequence[tuple[int, ...]]) -> nn.Linear | None:
    """The layer that `fit_probe` can fit: the graft's only trainable one, linear, and its last.

    None if there is no such layer, or a part of it is frozen.
    """
    layers = [m for m in graft.modules() if _trains_itself(m)]
    if len(layers) != 1 or not isinstance(layers[0], nn.Linear):
        return None
    layer = layers[0]
    if not all(p.requires_grad for p in layer.parameters()):
        return None
    # Random, and many: behind a ReLU or the like, some row would differ from the layer's output.
    random = torch.Generator().manual_seed(0)
    rows = tuple(torch.randn(PROBED_ROWS, *shape, generator=random) for shape in shapes)
    with _inputs_of(layer) as inputs, torch.inference_mode():
        output = graft.eval()(rows)
        if len(inputs) != 1 or not isinstance(output, torch.Tensor) or inputs[0].dim() != 2:
            return None
        own = linear(inputs[0], layer.weight, layer.bias)
    return layer if torch.equal(output, own) else None


class GraftRows:
    """What a layer of a graft is fed with, computed from the graft's rows when it is asked for."""

    axes: Axes = (1,)

    def __init__(self, graft: nn.Module, layer: nn.Linear, rows: RowSource, row_bytes: int) -> None:
        self._graft, self._layer, self._rows, self._row_bytes = graft, layer, rows, row_bytes

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """One tensor `n d`."""
        with _inputs_of(self._layer) as inputs:
            predict_logits(self._graft, RowSubset(self._rows, positions), self._row_bytes)
            return (torch.cat(inputs).clone(),)


def head_rows(graft: nn.Module, layer: nn.Linear, rows: RowSource, row_bytes: int) -> RowSource:
    """What that layer is fed with for each row: the probe's features, one tensor
    `n d`.

    The graft's own rows where nothing but the layer is behind them. Else they are computed, once
    if they fit into memory; rows that are live are never asked for twice.
    """
    live = isinstance(rows, LiveRows)
    computed = GraftRows(graft, layer, rows, row_bytes)
    if live or len(rows) * layer.in_features * 4 <= IN_MEMORY:
        return FeatureRows(computed.take(range(len(rows)))[0])
    first = rows.take(range(1))
    if len(first) == 1 and torch.equal(first[0], computed.take(range(1))[0]):
        return rows
    return computed


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    seen: list[torch.Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


def _trains_itself(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))
