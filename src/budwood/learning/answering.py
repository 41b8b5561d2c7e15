"""What a graft answers to frontier rows when nothing is trained, a bounded part at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from budwood.features.rows import RowSource
from budwood.tensors import Labels, Logits

EVALUATION_BYTES = 64 * 2**20
"""Frontier rows that are put through the graft at once."""


def predict_logits(graft: nn.Module, rows: RowSource, row_bytes: int) -> Logits:
    """The graft's logits for every row, in eval mode.

    Args:
        graft: The graft of a cut that was made in eval mode.
        rows: The frontier of some photos.
        row_bytes: Bytes of one photo's frontier.
    """
    return torch.cat([logits for _, logits in answers(graft, rows, row_bytes)]).clone()


def top1(graft: nn.Module, rows: RowSource, row_bytes: int, labels: Labels) -> float:
    """The share of rows whose greatest logit is that of their class; logits are not kept."""
    parts = answers(graft, rows, row_bytes)
    right = sum(int((logits.argmax(1) == labels[part]).sum()) for part, logits in parts)
    return right / len(rows)


def answers(graft: nn.Module, rows: RowSource, row_bytes: int) -> Iterator[tuple[slice, Tensor]]:
    """Where each part of the rows lies, and its logits."""
    graft.eval()
    size = max(1, min(1024, EVALUATION_BYTES // max(1, row_bytes)))
    for start in range(0, len(rows), size):
        part = range(start, min(start + size, len(rows)))
        with torch.inference_mode():
            output = graft(rows.take(part))
            logits = (output if isinstance(output, Tensor) else output[0]).float()
        yield slice(part.start, part.stop), logits
