"""Rows a block at a time, however many there are: for the probe, and for a graft's answers."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from budwood.features.rows import Axes, RowSource
from budwood.tensors import Features, Labels, Logits

BLOCK_BYTES = 16 * 2**20
"""Float32 bytes of a block: it is still in the cache when it is used a second time."""
KEPT_BYTES = 128 * 2**20
"""Standardised features up to this many bytes are kept; above, they are made anew each time."""


class FeatureRows:
    """A tensor of features as a `RowSource`; rows that lie side by side are not copied."""

    axes: Axes = (1,)

    def __init__(self, features: Features) -> None:
        self._features = features.detach().cpu()

    def __len__(self) -> int:
        return len(self._features)

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """Rows by position."""
        if isinstance(positions, range) and positions.step == 1:
            return (self._features[positions.start : positions.stop],)
        return (self._features[torch.as_tensor(positions, dtype=torch.long)],)


class Blocks:
    """Rows with `centre` taken off and divided by `scale`, one block after another."""

    def __init__(self, rows: RowSource, centre: Tensor, scale: Tensor, size: int) -> None:
        """Read nothing yet; centre and scale are `d` float64, rows one tensor `n d`."""
        self._rows, self.centre, self.scale, self.size = rows, centre, scale, size
        self._kept: dict[torch.dtype, list[Tensor]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def width(self) -> int:
        """Features of a row."""
        return len(self.centre)

    def each(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
        """Where each block lies, and the block `b d`."""
        parts = spans(len(self), self.size)
        made: Iterable[Tensor] = (self.at(range(p.start, p.stop), dtype) for p in parts)
        if len(self) * self.width * dtype.itemsize <= KEPT_BYTES:
            if dtype not in self._kept:
                self._kept = {dtype: list(made)}
            made = self._kept[dtype]
        return zip(parts, made, strict=True)

    def at(self, positions: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Some rows, by position."""
        (rows,) = self._rows.take(positions)
        # Float64 takes the centre off exactly; float32 would lose what lies far from zero.
        if dtype == torch.float64 or rows.dtype == torch.float64:
            return ((rows.double() - self.centre) / self.scale).to(dtype)
        near = self.centre.float()
        return ((rows - near) - (self.centre - near).float()) / self.scale.float()


def standardised(rows: RowSource, bias: bool, size: int) -> Blocks:
    """Rows with mean 0 and deviation 1; a constant feature keeps its scale, and without a bias the
    mean stays where it is.

    One pass: means and squares of the blocks are joined in float64, which loses nothing even where
    the mean is far from zero.

    Reference: Chan, Golub & LeVeque, "Algorithms for Computing the Sample Variance", 1983.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in spans(len(rows), size):
        block = rows.take(range(part.start, part.stop))[0].double()
        variance, own = torch.var_mean(block, 0, correction=0)
        n, offset = len(block), own - mean
        squares = squares + n * variance + offset**2 * (count * n / (count + n))
        mean = mean + offset * (n / (count + n))
        count += n
    scale = (squares / count).sqrt()
    scale[scale <= 1e-6 * mean.abs()] = 1.0
    scale[scale == 0] = 1.0
    return Blocks(rows, mean if bias else torch.zeros_like(mean), scale, size)


def spans(n: int, size: int) -> list[slice]:
    """Rows 0 to n - 1 in blocks.

    Example:
        >>> spans(5, 3)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


EVALUATION_BYTES = 64 * 2**20
"""Frontier rows that are put through the graft at once."""


def predict_logits(graft: nn.Module, rows: RowSource, row_bytes: int) -> Logits:
    """The logits of a graft that was cut in eval mode, for every row."""
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
    for part in spans(len(rows), size):
        with torch.inference_mode():
            logits = main_output(graft(rows.take(range(part.start, part.stop)))).float()
        yield part, logits


def main_output(output: Tensor | Sequence[Tensor]) -> Tensor:
    """The logits themselves, without those of auxiliary classifiers."""
    return output if isinstance(output, Tensor) else output[0]
