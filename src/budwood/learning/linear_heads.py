"""The linear layer at the end of a network that is solved rather than trained, and its input."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from budwood.features.rows import IN_MEMORY, Axes, LiveRows, RowSource, Selected
from budwood.learning.answering import predict_logits
from budwood.learning.blocks import FeatureRows

PROBED_ROWS = 32
"""Rows by which it is seen whether a layer is a network's last."""


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
            predict_logits(self._graft, Selected(self._rows, positions), self._row_bytes)
            return (torch.cat(inputs).clone(),)


def head_rows(graft: nn.Module, layer: nn.Linear, rows: RowSource, row_bytes: int) -> RowSource:
    """What the layer is fed with for each row: the probe's features, one tensor `n d`.

    The graft's own rows where nothing but the layer is behind them. Else they are computed, once
    if they fit into memory; rows that are live are never asked for twice.

    Args:
        graft: The graft of a cut that was made in eval mode.
        layer: The one that `probed_layer` found in it.
        rows: The frontier of some photos.
        row_bytes: Bytes of one photo's frontier.
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
