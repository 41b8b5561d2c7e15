"""Torch's own engine: the reference in fp32 on the CPU, and what runs on a GPU."""

import copy
from collections.abc import Generator, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.features.engines import Batch, EngineSpec, Rows


class TorchEngine:
    """Runs a trunk in torch.

    CUDA and MPS are written from the documentation and have not been measured.
    """

    def __init__(self, trunk: nn.Module, spec: EngineSpec) -> None:
        self.spec = spec
        self._trunk = trunk.eval() if spec.device == "cpu" else _moved(trunk, spec.device)

    def expect(self, batch: int | None) -> None:
        """All sizes are alike."""

    def run(self, photos: Batch) -> Rows:
        """The frontier of one batch, `n ...` each."""
        # A copy: a trunk may hand its input on as it is, and the caller keeps its array.
        batch = torch.from_numpy(np.stack(list(photos))).to(self.spec.device)
        with torch.inference_mode(), self._arithmetic():
            rows = self._trunk(batch)
        return tuple(_plain(row) for row in rows)

    def stream(
        self, batches: Iterable[tuple[Any, Batch]]
    ) -> Generator[tuple[Any, Rows], None, None]:
        """One batch after the other; decoding goes on in other threads meanwhile."""
        for tag, photos in batches:
            yield tag, self.run(photos)

    def _arithmetic(self) -> Any:
        if self.spec.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.spec.device.partition(":")[0], torch.bfloat16)


def _plain(row: torch.Tensor) -> NDArray[Any]:
    row = row.float() if row.is_floating_point() else row
    return np.ascontiguousarray(row.cpu().numpy())


def _moved(trunk: nn.Module, device: str) -> nn.Module:
    return copy.deepcopy(trunk).to(device).eval()
