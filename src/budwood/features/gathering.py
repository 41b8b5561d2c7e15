"""From a list of photos to their frontier rows: what is stored is read, the rest is computed."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import fx

from budwood.errors import ConfigError
from budwood.features.engines import Engine, EngineSpec, preferred_specs
from budwood.features.extraction import OnProgress, batch_size, decoded, extract, identify
from budwood.features.rows import LiveRows, RowSource, StoredRows
from budwood.features.store import RowStore, maker_key, store_folder, stored_bytes
from budwood.features.verification import PROBES, rejected, trusted_engine
from budwood.images.preprocessing import Preprocessing
from budwood.surgery.cutting import Cut
from budwood.surgery.fingerprints import graph_keys, module_key

SPARE_DISK = 16 * 2**20
"""Bytes of free disk that stored rows never take."""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """How frozen trunks are run."""

    precision: str = "auto"
    """Arithmetic of the trunk: auto (bf16 where the processor has it), fp32 or bf16."""
    device: str = "cpu"
    """Where the trunk runs: cpu, cuda or mps."""
    store_limit: int | None = None
    """Bytes that the whole feature store may take; beyond, trunks run uncached."""

    def __post_init__(self) -> None:
        if self.store_limit is not None and self.store_limit < 0:
            raise ConfigError(f"store_limit must not be negative, got {self.store_limit}.")


@dataclass(frozen=True)
class Gathered:
    """The rows of a list of photos, and where they came from."""

    rows: RowSource
    """Rows of `paths`, in that order."""
    paths: tuple[Path, ...]
    """The photos that could be read, in the order asked for."""
    broken: dict[Path, str]
    """The others, with the reason."""
    engine: EngineSpec
    """What made the rows."""
    hits: int
    """Photos whose rows were there already."""
    misses: int
    """Photos that went through the trunk."""
    bytes: int
    """Bytes of these rows in the store; 0 if they are not stored."""


class Gatherer:
    """Makes the frontier of photos available, for one cut and one preprocessing."""

    def __init__(
        self,
        cut: Cut,
        preprocessing: Preprocessing,
        options: Extraction,
        on_note: Callable[[str], None],
        on_progress: OnProgress | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            cut: Of a `Prepared` network: its trunk takes pixels.
            preprocessing: From file bytes to pixels.
            options: Precision, device and limit of the store.
            on_note: Told what the user should know, a line each.
            on_progress: Told how far the extraction is.
        """
        self._cut = cut
        self._preprocessing = preprocessing
        self._options = options
        self._on_note = on_note
        self._on_progress = on_progress
        self.keys = frontier_keys(cut)
        """One key for each frontier tensor: equal keys, equal rows."""
        self._trunk_key = " ".join(self.keys)
        self._specs = preferred_specs(
            options.precision, options.device, network_runs=set(self.keys) != {"input"}
        )
        self._engine: Engine | None = None
        self._batch = 1

    def gather(self, paths: Sequence[Path], *, store: bool = True) -> Gathered:
        """The rows of these photos; what is not stored yet goes through the trunk, once.

        Args:
            paths: Photos; equal files are computed once.
            store: False computes what is missing without keeping it.

        Raises:
            StoreError: If the disk is full; what was stored is kept.
            EngineError: If no engine can run the trunk.
        """
        digests, broken = identify(paths)
        stores = self._stores(self._spec)
        missing = _missing(digests, stores)
        probe, reasons = self._probe(missing.values())
        live = bool(probe) and not (store and self._fits(len(missing)))
        if probe:
            self._make_ready(probe)
            stores = self._stores(self._spec)
            missing = _missing(digests, stores)
        if live:
            reasons |= self._unreadable(missing.values())
        elif probe:
            todo = [path for path in missing.values() if path not in reasons]
            self._on_note(self._size(len(todo)))
            assert self._engine is not None
            reasons |= extract(
                todo, self._preprocessing, self._engine, stores, self._batch, self._on_progress
            )
        bad = {digests[path]: reason for path, reason in reasons.items()}
        broken |= {path: bad[photo] for path, photo in digests.items() if photo in bad}
        good = tuple(path for path in paths if path not in broken)
        rows = self._live(good) if live else self._stored(stores, [digests[p] for p in good])
        computed = len(good) if live else len(missing.keys() - bad.keys())
        return Gathered(
            rows,
            good,
            broken,
            self._spec,
            hits=len(good) - computed if not live else 0,
            misses=computed,
            bytes=0 if live else len({digests[path] for path in good}) * self._cut.row_bytes,
        )

    @property
    def _spec(self) -> EngineSpec:
        if self._engine is not None:
            return self._engine.spec
        return next((s for s in self._specs if not rejected(self._trunk_key, s)), self._specs[-1])

    def _stores(self, spec: EngineSpec) -> list[RowStore]:
        settings = self._preprocessing.to_json()
        stores = []
        for key, tensor in zip(self.keys, self._cut.frontier, strict=True):
            about = {
                "tensor": tensor.name,
                "shape": tensor.shape,
                "engine": spec.key,
                "preprocessing": settings,
            }
            stores.append(RowStore(maker_key(key, settings, spec.key), about))
        for store in stores:
            for path, reason in store.damaged.items():
                self._on_note(
                    f"{path.name} in the feature store is damaged and not used: {reason} "
                    "`budwood cache verify` removes it."
                )
        return stores

    def _probe(self, paths: Iterable[Path]) -> tuple[list[NDArray[np.uint8]], dict[Path, str]]:
        """The first few photos that can be decoded, and those met on the way that cannot."""
        reasons: dict[Path, str] = {}
        photos = decoded(paths, self._preprocessing, reasons)
        with closing(photos):
            return [pixels for _, _, pixels in islice(photos, PROBES)], reasons

    def _make_ready(self, probe: list[NDArray[np.uint8]]) -> None:
        """Build and verify the engine, in a thread so that Ctrl-C need not wait for it."""
        if self._engine is not None:
            return
        pool = ThreadPoolExecutor(1)
        try:
            self._engine, verdict = pool.submit(
                trusted_engine,
                self._cut.trunk,
                self._trunk_key,
                self._specs[self._specs.index(self._spec) :],
                np.stack(probe),
                self._on_note,
            ).result()
        finally:
            pool.shutdown(wait=False)
        self._batch = batch_size(verdict.seconds_per_photo)

    def _fits(self, count: int) -> bool:
        """True if the rows may be stored; says so if not."""
        need = count * self._cut.row_bytes
        limit = self._options.store_limit
        if limit is not None and (used := stored_bytes()) + need > limit:
            reason = f"the store holds {_size(used)} and --store-limit is {_size(limit)}"
        elif need > (free := _free_disk() - SPARE_DISK):
            reason = f"{_size(max(0, free))} of disk are free in {store_folder().parent}"
        else:
            return True
        self._on_note(
            f"{count} photos need {_size(need)}, and {reason}: the trunk runs uncached, "
            "once for each pass over the photos."
        )
        return False

    def _size(self, count: int) -> str:
        row = self._cut.row_bytes
        return f"{count} photos x {_size(row)} = {_size(count * row)} to compute and store."

    def _unreadable(self, paths: Iterable[Path]) -> dict[Path, str]:
        reasons: dict[Path, str] = {}
        for _ in decoded(paths, self._preprocessing, reasons):
            pass
        return reasons

    def _live(self, paths: Sequence[Path]) -> LiveRows:
        assert self._engine is not None
        return LiveRows(paths, self._preprocessing, self._engine, self._batch)

    def _stored(self, stores: Sequence[RowStore], photos: Sequence[bytes]) -> StoredRows:
        return StoredRows(stores, photos, self._cut.row_bytes)


def frontier_keys(cut: Cut) -> tuple[str, ...]:
    """One key for each frontier tensor of a cut: equal keys, equal rows for equal pixels."""
    if isinstance(cut.trunk, fx.GraphModule):
        return graph_keys(cut.trunk)
    return (module_key(cut.trunk),)


def _missing(digests: dict[Path, bytes], stores: Sequence[RowStore]) -> dict[bytes, Path]:
    """One path for each photo that some store lacks."""
    return {
        photo: path
        for path, photo in digests.items()
        if any(photo not in store for store in stores)
    }


def _free_disk() -> int:
    folder = store_folder()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _size(count: int) -> str:
    """Bytes for people: "1.3 GB"."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
