"""The linear probe: the optimum of multinomial logistic regression, not an approximation of it.

    on standardised features, minimise over W, b:  sum of cross entropies + (penalty / 2) * |W|^2

The penalty is chosen by cross-validation on the training features. Two facts make that fast. All
solutions lie in the span of the features, so a rotation to their principal axes loses nothing and
leaves at most `min(n, d)` dimensions, in which the curvature of the loss is nearly diagonal and
known beforehand. And all folds and penalties are solved side by side, as columns of one product
with the same features (`minimising.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, linear

from budwood.errors import ConfigError, DataError
from budwood.features.rows import RowSource
from budwood.learning.minimising import Axes, minimise
from budwood.learning.training import predict_logits
from budwood.tensors import Features, Labels

Matrix = NDArray[np.floating]

PENALTIES_PER_FEATURE = tuple(10.0 ** (exponent / 2) for exponent in range(2, -7, -1))
"""Penalties tried, strongest first, as multiples of the number of features: with a penalty equal
to it, a weight vector of typical size gives logits of about 1."""

PROBED_ROWS = 32
"""Rows by which it is seen whether a layer is a network's last."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How the linear probe is fitted."""

    folds: int = 5
    """Parts of the training features for choosing the penalty."""
    penalty: float | None = None
    """L2 penalty on standardised features; None chooses it by cross-validation."""
    seed: int = 0
    """Seeds the assignment of photos to folds."""

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"folds must be at least 2, got {self.folds}.")
        if self.penalty is not None and not 0 < self.penalty < float("inf"):
            raise ConfigError(f"penalty must be above 0 and finite, got {self.penalty}.")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}.")


@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe: a linear layer for raw features, and how its penalty was chosen."""

    weight: torch.Tensor
    """`k d` float32: standardisation is folded in."""
    bias: torch.Tensor
    """`k` float32."""
    penalty: float
    loss: float
    """Mean cross entropy on the training features."""
    candidates: tuple[dict[str, float], ...] = ()
    """For each penalty tried: its cross-validated mean loss, standard error and top-1."""

    @property
    def cross_validated_top1(self) -> float | None:
        """Top-1 of the chosen penalty on features it was not fitted to; None if none was tried."""
        return next((c["top1"] for c in self.candidates if c["penalty"] == self.penalty), None)

    def write_to(self, layer: nn.Linear) -> None:
        """Put the solution into a linear layer of a network."""
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            if layer.bias is not None:
                layer.bias.copy_(self.bias)


def fit_probe(
    features: Features, labels: Labels, num_classes: int, config: Probe = Probe(), bias: bool = True
) -> FittedProbe:
    """The linear classifier of least regularised loss on these features; no randomness in it.

    Args:
        features: One row a photo.
        labels: Its class, 0 to `num_classes` - 1.
        num_classes: Outputs of the layer.
        config: The penalty, or how it is chosen.
        bias: False for a layer without one.

    Raises:
        DataError: If there are fewer than two photos or classes, a label is no class, or a
            feature is not finite.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> probe = fit_probe(x, torch.tensor([0, 0, 1, 1]), 2, Probe(folds=2))
        >>> (x @ probe.weight.T + probe.bias).argmax(1).tolist()
        [0, 0, 1, 1]
    """
    x = features.detach().cpu().numpy()
    y = labels.detach().cpu().numpy()
    if len(x) != len(y) or len(x) < 2:
        raise DataError(f"A probe needs at least two photos, got {len(x)} and {len(y)} labels.")
    if len(np.unique(y)) < 2:
        raise DataError("A probe needs photos of at least two classes.")
    if not 0 <= y.min() <= y.max() < num_classes:
        raise DataError(
            f"The labels go from {y.min()} to {y.max()}.",
            expected=f"They index {num_classes} classes, from 0 on.",
        )
    if not np.isfinite(x).all():
        raise DataError("Some features are not finite.", next="Check the weights of the network.")
    centre, scale = _standards(x, bias)
    axes = Axes(torch.from_numpy((x - centre) / scale))
    target = torch.from_numpy(y)
    candidates: tuple[dict[str, float], ...] = ()
    penalty = config.penalty
    if penalty is None:
        candidates = _cross_validate(axes, target, num_classes, config, bias)
        penalty = _one_standard_error(candidates)
    everyone = torch.ones(1, len(y), dtype=torch.float64)
    solution = minimise(axes, target, num_classes, [penalty], everyone, bias, steps=300)[0]
    weight = (axes.directions @ solution[:-1]).T / torch.from_numpy(scale)  # k d
    offset = solution[-1] - weight @ torch.from_numpy(centre)
    loss = cross_entropy(torch.from_numpy(x).double() @ weight.T + offset, target)
    return FittedProbe(weight.float(), offset.float(), penalty, float(loss), candidates)


def _standards(x: Matrix, bias: bool) -> tuple[Matrix, Matrix]:
    """Mean and standard deviation of each feature; a constant feature is left as it is."""
    mean = x.mean(axis=0, dtype=np.float64)
    scale = x.std(axis=0, dtype=np.float64)
    scale[scale <= 1e-6 * np.abs(mean)] = 1.0
    scale[scale == 0] = 1.0
    return mean if bias else np.zeros_like(mean), scale


def _cross_validate(
    axes: Axes, y: torch.Tensor, k: int, config: Probe, bias: bool
) -> tuple[dict[str, float], ...]:
    """Held-out loss, its standard error and top-1 of each penalty, strongest first."""
    fold = _folds(y.numpy(), config.folds, config.seed)
    held_out = torch.from_numpy(np.stack([fold == f for f in range(config.folds)]))  # f n
    held_out = held_out[held_out.any(1) & ~held_out.all(1)]
    penalties = [axes.features * share for share in PENALTIES_PER_FEATURE]
    axes = axes.single()
    solutions = minimise(
        axes,
        y,
        k,
        [penalty for penalty in penalties for _ in held_out],
        (~held_out).float().repeat(len(penalties), 1),
        bias,
        steps=40,
    )
    candidates = []
    for i, penalty in enumerate(penalties):
        mine = solutions[i * len(held_out) : (i + 1) * len(held_out)].float()
        logits = torch.einsum("nr,frk->fnk", axes.coordinates, mine[:, :-1])
        logits = (logits + mine[:, -1:])[held_out]  # f n k -> n k, fold by fold
        truth = y.expand(len(held_out), -1)[held_out]
        losses = cross_entropy(logits, truth, reduction="none").double()
        hits = (logits.argmax(1) == truth).double()
        candidates.append(
            {
                "penalty": penalty,
                "loss": float(losses.mean()),
                "standard_error": float(losses.std() / len(losses) ** 0.5),
                "top1": float(hits.mean()),
            }
        )
    return tuple(candidates)


def _one_standard_error(candidates: tuple[dict[str, float], ...]) -> float:
    """The strongest penalty whose loss is within one standard error of the least loss.

    Reference: Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.
    """
    best = min(candidates, key=lambda c: c["loss"])
    limit = best["loss"] + best["standard_error"]
    return max(c["penalty"] for c in candidates if c["loss"] <= limit)


def _folds(y: NDArray[np.integer], folds: int, seed: int) -> NDArray[np.integer]:
    """A fold for each photo; every class is spread evenly over the folds."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), np.int64)
    start = 0
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        fold[members] = (start + np.arange(len(members))) % folds
        start += len(members)
    return fold


def probed_layer(graft: nn.Module, shapes: Sequence[tuple[int, ...]]) -> nn.Linear | None:
    """The layer that `fit_probe` can solve: the graft's only trainable one, linear, and its last.

    None if there is no such layer, or a part of it is frozen.

    Args:
        graft: The graft of a cut that was made in eval mode.
        shapes: The shape of each frontier tensor for one photo.
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


def head_features(graft: nn.Module, layer: nn.Linear, rows: RowSource, row_bytes: int) -> Features:
    """What the layer is fed with for each row: the probe's features, `n d`."""
    with _inputs_of(layer) as inputs:
        predict_logits(graft, rows, row_bytes)
        return torch.cat(inputs).clone()


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
