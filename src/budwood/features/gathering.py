"""From a list of photos to their frontier rows: what is stored is read, the rest is computed."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from budwood.errors import ConfigError
from budwood.features.calibrating import Calibration
from budwood.features.engine_choice import EngineChoice
from budwood.features.engines import EngineSpec
from budwood.features.extraction import (
    AHEAD_BYTES,
    OnProgress,
    batch_size,
    extract,
    pace_for,
)
from budwood.features.reading_ahead import Contents, Decoded, decoded, identify
from budwood.features.room import room_for
from budwood.features.rows import LiveRows, RowSource, StoredRows
from budwood.features.store import (
    MemoryShelf,
    RowStore,
    Shelf,
    maker_key,
)
from budwood.features.verification import PROBES
from budwood.images.oddities import Oddities
from budwood.images.preprocessing import PIXELS, Preprocessing
from budwood.surgery.cutting import Cut

CHANGED = "The photo changed while it was read."


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """How frozen trunks are run."""

    precision: str = "auto"
    """Arithmetic of the trunk: auto (bf16 where the processor has it), fp32, bf16, or int8, which
    is used once fitting has shown that it is as good as bf16 here."""
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
    photos: tuple[bytes, ...]
    """Their digests."""
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
        calibration: Calibration | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            cut: Of a `Prepared` network: its trunk takes pixels.
            preprocessing: From file bytes to pixels.
            options: Precision, device and limit of the store.
            on_note: Told what the user should know, a line each.
            on_progress: Told how far the extraction is.
            calibration: If given, the trunk runs in int8 with these scales, whatever `options` say.
        """
        self._cut = cut
        self._preprocessing = preprocessing
        self._options = options
        self._on_note = on_note
        self._on_progress = on_progress
        self.choice = EngineChoice(
            cut, preprocessing, options.precision, options.device, calibration, on_note
        )
        """The engine."""
        self._held: Sequence[Shelf] | None = None
        self._reported: set[Path] = set()

    def gather(self, paths: Sequence[Path], *, keep: bool = True) -> Gathered:
        """The rows of these photos; what is not stored yet goes through the trunk, once.

        Args:
            paths: Photos; equal files are computed once.
            keep: False stores nothing that is computed now.

        Raises:
            StoreError: If the disk is full; what was stored is kept.
            EngineError: If no engine can run the trunk.
        """
        contents = Contents()
        digests, broken = identify(paths, contents)
        shelves = self._shelves(digests)
        missing = _missing(digests, shelves)
        reasons: dict[Path, str] = {}
        uncached = False
        if missing:
            shelves, missing, uncached = self._compute(digests, missing, contents, reasons, keep)
        bad = {digests[path]: reason for path, reason in reasons.items()}
        broken |= {path: bad[photo] for path, photo in digests.items() if photo in bad}
        good = tuple(path for path in paths if path not in broken)
        photos = tuple(digests[path] for path in good)
        computed = len(good) if uncached else len(missing.keys() - bad.keys())
        return Gathered(
            rows=self._live(good) if uncached else StoredRows(shelves, photos, self._cut.row_bytes),
            paths=good,
            photos=photos,
            broken=broken,
            engine=self.choice.spec,
            hits=len(good) - computed,
            misses=computed,
            bytes=len(set(photos)) * self._row_bytes if _on_disk(shelves) else 0,
        )

    def _compute(
        self,
        digests: dict[Path, bytes],
        missing: dict[bytes, Path],
        contents: Contents,
        broken: dict[Path, str],
        keep: bool,
    ) -> tuple[Sequence[Shelf], dict[bytes, Path], bool]:
        """Put missing photos through the trunk: where their rows are, which were missing for the
        engine that ran, and whether there was no room for them. `broken` is filled."""
        order = _spread_out(list(missing.values()), PROBES)
        ahead = AHEAD_BYTES if self.choice.engine is None else 0
        odd = Oddities()
        with closing(decoded(order, self._preprocessing, broken, ahead, contents, odd)) as photos:
            first = self.choice.settle(photos)
            shelves = self._shelves(digests)
            if self.choice.engine is None:  # not one photo can be decoded
                return shelves, missing, False
            missing = _missing(digests, shelves)
            todo = [path for path in missing.values() if path not in broken]
            room, note = room_for(len(todo), self._row_bytes, self._options.store_limit)
            if keep:
                self._on_note(note)
            if not keep or room != "disk":
                shelves = [MemoryShelf(shelf) for shelf in shelves]
                self._held = shelves if keep and room == "memory" else None
            if room == "nowhere":
                for _ in photos:  # what cannot be decoded must be known beforehand
                    pass
                self._say(odd)
                return shelves, missing, True
            wanted = _of(todo, chain(first, photos))
            pace = pace_for(self.choice.seconds_per_photo, len(todo))
            extract(
                wanted,
                len(todo),
                self.choice.engine,
                shelves,
                pace,
                broken,
                self._on_progress,
                compact=self._is_compact and keep,
            )
        self._say(odd)
        lost = _missing(digests, shelves).values()
        broken |= {path: CHANGED for path in lost if path not in broken}
        return shelves, missing, False

    def _say(self, odd: Oddities) -> None:
        for line in odd.lines():
            self._on_note(line)

    @property
    def _is_compact(self) -> bool:
        """Rows of an engine that rounds as it computes need not be stored exactly."""
        return self.choice.spec.precision != "fp32"

    @property
    def _row_bytes(self) -> int:
        """Bytes of a photo's rows as they are stored."""
        halved = [
            t.bytes // 2 if t.dtype.is_floating_point else t.bytes for t in self._cut.frontier
        ]
        return sum(halved) if self._is_compact else self._cut.row_bytes

    def _shelves(self, digests: Mapping[Path, bytes]) -> Sequence[Shelf]:
        """Where the rows of each frontier tensor are, for the engine in use.

        Before one is in use: for the engine that has made the most of these photos' rows, so that
        an engine that was refused on other photos is not tried again on a few new ones.
        """
        if self._held:
            return self._held
        photos = set(digests.values())
        self.choice.prefer(lambda spec: self._stored_photos(spec, photos))
        stores = self._stores(self.choice.spec)
        damaged = {path: why for store in stores for path, why in store.damaged.items()}
        for path in damaged.keys() - self._reported:
            self._on_note(
                f"In the feature store {damaged[path]} It is not used; "
                "`budwood cache verify` removes it."
            )
        self._reported |= damaged.keys()
        return stores

    def _stored_photos(self, spec: EngineSpec, photos: set[bytes]) -> int:
        stores = self._stores(spec)
        return sum(all(photo in store for store in stores) for photo in photos)

    def _stores(self, spec: EngineSpec) -> list[RowStore]:
        settings = self._preprocessing.to_json() | {"pixels": PIXELS}
        stores = []
        for key, tensor in zip(self.choice.keys, self._cut.frontier, strict=True):
            about = {
                "tensor": tensor.name,
                "shape": tensor.shape,
                "engine": spec.key,
                "preprocessing": settings,
            }
            stores.append(RowStore(maker_key(key, settings, spec.key), about))
        return stores

    def _live(self, paths: Sequence[Path]) -> LiveRows:
        assert self.choice.engine is not None
        batch = batch_size(self.choice.seconds_per_photo)
        return LiveRows(paths, self._preprocessing, self.choice.engine, batch)

    def measured(self, paths: Sequence[Path]) -> float:
        """Seconds that the engine takes for one of these photos, decoding left out."""
        with closing(decoded(paths, self._preprocessing, {})) as photos:
            return self.choice.measured(photos)


def _missing(digests: dict[Path, bytes], shelves: Sequence[Shelf]) -> dict[bytes, Path]:
    """One path for each photo that some shelf lacks."""
    return {
        photo: path
        for path, photo in digests.items()
        if any(photo not in shelf for shelf in shelves)
    }


def _of(paths: Collection[Path], photos: Iterable[Decoded]) -> Generator[Decoded, None, None]:
    """Those of the photos that have one of these paths."""
    wanted = set(paths)
    yield from (photo for photo in photos if photo[0] in wanted)


def _spread_out(paths: list[Path], count: int) -> list[Path]:
    """The same paths, with `count` evenly spaced ones first: the engine is judged by these.

    Neighbours in a folder are of one class, and so alike that good arithmetic would look bad
    beside the little they differ.
    """
    step = max(1, len(paths) // count)
    first = paths[::step][:count]
    chosen = set(first)
    return first + [path for path in paths if path not in chosen]


def _on_disk(shelves: Sequence[Shelf]) -> bool:
    return all(isinstance(shelf, RowStore) for shelf in shelves)
