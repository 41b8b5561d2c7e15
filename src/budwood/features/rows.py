"""Where the training loop gets its rows from: the store, or the trunk, which it need not know."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from budwood.errors import ImageError
from budwood.features.engines import Engine
from budwood.features.extraction import Unreadable, decoded, extract
from budwood.features.store import IN_MEMORY as IN_MEMORY
from budwood.features.store import RowCache
from budwood.images.preprocessing import Preprocessing

Axes = tuple[int | None, ...]
"""The axis of a batch that holds features, for each frontier tensor; None where it is not known."""


class RowSource(Protocol):
    """The frontier of a list of photos, by position in that list."""

    @property
    def axes(self) -> Axes:
        """Where features are; empty where nobody has seen how the rows are made."""

    def __len__(self) -> int:
        """How many photos."""

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """One tensor `n ...` for each frontier tensor; fresh memory that the caller may keep."""


class StoredRows:
    """Rows that lie in the store."""

    def __init__(
        self,
        stores: Sequence[RowCache],
        images: Sequence[bytes],
        row_bytes: int,
        axes: Axes = (),
    ) -> None:
        self.axes = axes
        self._stores = stores
        self._images = len(images)
        self._places = [store.locate(images) for store in stores]
        fits = len(images) * row_bytes <= IN_MEMORY
        self._loaded = self._at(slice(None)) if fits and images else None

    def __len__(self) -> int:
        return self._images

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        """Rows by position, copied; of what is stored in float16 as float32."""
        where = np.asarray(positions, np.int64)
        loaded = self._loaded
        some = self._at(where) if loaded is None else [rows[where] for rows in loaded]
        return tuple(map(_widened, some))

    def _at(self, where: slice | NDArray[np.int64]) -> list[NDArray[Any]]:
        located = zip(self._stores, self._places, strict=True)
        return [store.at(places[where]) for store, places in located]


class RowsInMemory:
    """Rows that are at hand."""

    def __init__(self, tensors: tuple[Tensor, ...], axes: Axes = ()) -> None:
        self._tensors = tensors
        self.axes = axes

    def __len__(self) -> int:
        return len(self._tensors[0])

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        return tuple(tensor[list(positions)] for tensor in self._tensors)


class LiveRows:
    """Rows that are computed each time they are asked for: for frontiers too large to store."""

    def __init__(
        self,
        paths: Sequence[Path],
        preprocessing: Preprocessing,
        engine: Engine,
        axes: Axes = (),
    ) -> None:
        self.axes = axes
        self._paths = paths
        self._preprocessing = preprocessing
        self._engine = engine

    def __len__(self) -> int:
        return len(self._paths)

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        paths = [self._paths[i] for i in positions]
        parts = []
        for result in extract(decoded(paths, self._preprocessing), self._engine):
            if isinstance(result, Unreadable):
                raise ImageError(
                    f"{result.path} can no longer be read: {result.reason}",
                    next="Leave the photos in place while training.",
                    file=result.path,
                )
            parts.append(result.rows)
        tensors: list[NDArray[np.generic]] = [np.concatenate(t) for t in zip(*parts, strict=True)]
        return tuple(torch.from_numpy(tensor) for tensor in tensors)


def _widened(rows: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(rows)
    return tensor.float() if tensor.dtype == torch.float16 else tensor


class RowSubset:
    """Some photos, and some tensors, of another source."""

    def __init__(
        self, source: RowSource, positions: Sequence[int], tensors: Sequence[int] | None = None
    ) -> None:
        self._source = source
        self._positions = np.asarray(positions, np.int64)
        self._tensors = tensors
        chosen = tensors if tensors is not None and source.axes else range(len(source.axes))
        self.axes = tuple(source.axes[i] for i in chosen)

    def __len__(self) -> int:
        return len(self._positions)

    def take(self, positions: Sequence[int]) -> tuple[Tensor, ...]:
        rows = self._source.take(self._positions[np.asarray(positions, np.int64)].tolist())
        return rows if self._tensors is None else tuple(rows[i] for i in self._tensors)
