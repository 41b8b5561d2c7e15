"""From a list of photos to their frontier rows: what is stored is read, the rest is computed."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from budwood.display import displayed
from budwood.errors import StoreError
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
from budwood.features.reading_ahead import Decoded, decoded, identify
from budwood.features.room import room_for
from budwood.features.rows import Axes, LiveRows, RowSource, StoredRows
from budwood.features.store import (
    MemoryShelf,
    RowStore,
    Shelf,
    maker_key,
    store_folder,
)
from budwood.features.verification import PROBES
from budwood.fields import Checked
from budwood.images.contents import CONTENTS, Contents
from budwood.images.oddities import Oddities
from budwood.images.preprocessing import PIXELS, Preprocessing
from budwood.settings import same
from budwood.surgery.cutting import Cut

CHANGED = "The photo changed while it was read."


@displayed
@dataclass(frozen=True, kw_only=True)
class Extraction(Checked):
    """How frozen trunks are run; `Settings` says what each field means."""

    precision: str = same("precision")
    device: str = same("device")
    store_limit: int | None = same("store_limit")


@displayed
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
        self._opened: dict[tuple[Path, str], list[RowStore]] = {}
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
        digests, broken = identify(paths)
        made = self._made(set(digests.values())) if keep and self.choice.engine is None else {}
        self.choice.prefer(lambda spec: made.get(spec, 0))
        shelves = self._shelves()
        missing = _missing(digests, shelves)
        reasons: dict[Path, str] = {}
        uncached = False
        if missing:
            is_known = self._known(made, judged_by=len(set(digests.values())) if keep else 0)
            shelves, missing, uncached = self._compute(
                digests, missing, CONTENTS, reasons, keep, is_known
            )
        CONTENTS.let_go(paths)  # what was not missing need not be decoded
        bad = {digests[path]: reason for path, reason in reasons.items()}
        broken |= {path: bad[photo] for path, photo in digests.items() if photo in bad}
        good = tuple(path for path in paths if path not in broken)
        photos = tuple(digests[path] for path in good)
        computed = len(good) if uncached else len(missing.keys() - bad.keys())
        return Gathered(
            rows=self._live(good) if uncached else self._stored(shelves, photos),
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
        is_known: Callable[[EngineSpec], bool],
    ) -> tuple[Sequence[Shelf], dict[bytes, Path], bool]:
        """Put missing photos through the trunk: where their rows are, which were missing for the
        engine that ran, and whether there was no room for them. `broken` is filled."""
        is_new = self.choice.engine is None
        order = list(missing.values())
        if is_new and keep and not is_known(self.choice.spec):
            order = _spread_first(list(_one_each(digests).values()), order, PROBES)
        changed: set[Path] = set()
        odd = Oddities()
        with ExitStack() as open_:

            def on_the_way(paths: list[Path], ahead: int = 0) -> Generator[Decoded, None, None]:
                photos = decoded(paths, self._preprocessing, broken, ahead, contents, odd)
                return open_.enter_context(closing(photos))

            photos = on_the_way(order, AHEAD_BYTES if is_new else 0)
            first = self.choice.settle(photos, is_known, by_photos=keep)
            shelves = self._shelves()
            if self.choice.engine is None:  # not one photo can be decoded
                return shelves, missing, False
            missing = _missing(digests, shelves)
            # The engine need not be the one that was preferred, and then it lacks other photos.
            others = on_the_way([path for path in missing.values() if path not in set(order)])
            todo = [path for path in missing.values() if path not in broken]
            room, note = room_for(len(todo), self._row_bytes, self._options.store_limit)
            if keep:
                self._on_note(note)
            if not keep or room != "disk":
                shelves = [MemoryShelf(shelf) for shelf in shelves]
                self._held = shelves if keep and room == "memory" else None
            if room == "nowhere":
                for _ in chain(photos, others):  # what cannot be decoded must be known beforehand
                    pass
                self._say(odd)
                return shelves, missing, True
            wanted = _of(todo, chain(first, photos, others), digests, changed)
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
        broken |= dict.fromkeys(changed, CHANGED)
        lost = [path for path in _missing(digests, shelves).values() if path not in broken]
        if lost:
            raise StoreError(
                f"The rows of {len(lost)} photos are not in the store, though they were computed "
                f"just now; the first is {lost[0]}.",
                next="Run it again; empty the store only while nothing else uses it.",
                file=lost[0],
            )
        return shelves, missing, False

    def _say(self, odd: Oddities) -> None:
        for line in odd.lines():
            self._on_note(line)

    def _made(self, photos: set[bytes]) -> dict[EngineSpec, int]:
        """How many of these photos each engine has made the stored rows of."""
        stores = {spec: self._stores(spec) for spec in self.choice.specs}
        return {
            spec: sum(all(photo in store for store in own) for photo in photos)
            for spec, own in stores.items()
        }

    def _known(
        self, made: Mapping[EngineSpec, int], judged_by: int
    ) -> Callable[[EngineSpec], bool]:
        """Whether an engine need not be judged: it has made rows of these photos before, or there
        are but a few to judge it by and it has agreed on this trunk before."""
        few = judged_by < PROBES
        return lambda spec: made.get(spec, 0) > 0 or (few and self.choice.has_agreed(spec))

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

    def _shelves(self) -> Sequence[Shelf]:
        """Where the rows of each frontier tensor are, for the engine in use.

        Before one is in use: for the engine that has made the most of the photos' rows, so that an
        engine that was refused on other photos is not tried again on a few new ones.
        """
        if self._held:
            return self._held
        stores = self._stores(self.choice.spec)
        damaged = {path: why for store in stores for path, why in store.damaged.items()}
        for path in damaged.keys() - self._reported:
            self._on_note(
                f"In the feature store {damaged[path]} It is not used; "
                "`budwood cache verify` removes it."
            )
        self._reported |= damaged.keys()
        return stores

    def _stores(self, spec: EngineSpec) -> list[RowStore]:
        """The stores of an engine's rows, opened once, and up to date."""
        opened = self._opened.get((store_folder(), spec.key))
        if opened is None:
            return self._opened.setdefault((store_folder(), spec.key), self._open_stores(spec))
        for store in opened:
            store.refresh()
        return opened

    def _open_stores(self, spec: EngineSpec) -> list[RowStore]:
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
        return LiveRows(paths, self._preprocessing, self.choice.engine, batch, self._axes)

    def _stored(self, shelves: Sequence[Shelf], photos: Sequence[bytes]) -> StoredRows:
        return StoredRows(shelves, photos, self._cut.row_bytes, self._axes)

    @property
    def _axes(self) -> Axes:
        return tuple(tensor.feature_axis for tensor in self._cut.frontier)

    def measured(self, paths: Sequence[Path]) -> float:
        """Seconds that the engine takes for one of these photos, decoding left out."""
        with closing(decoded(paths, self._preprocessing, {})) as photos:
            return self.choice.measured(photos)


def _missing(digests: dict[Path, bytes], shelves: Sequence[Shelf]) -> dict[bytes, Path]:
    """One path for each photo that some shelf lacks."""
    return {
        photo: path
        for photo, path in _one_each(digests).items()
        if any(photo not in shelf for shelf in shelves)
    }


def _one_each(digests: Mapping[Path, bytes]) -> dict[bytes, Path]:
    """One path for each photo."""
    return {photo: path for path, photo in digests.items()}


def _of(
    paths: Collection[Path],
    photos: Iterable[Decoded],
    digests: Mapping[Path, bytes],
    changed: set[Path],
) -> Generator[Decoded, None, None]:
    """Those of the photos that have one of these paths; `changed` is told of other content."""
    wanted = set(paths)
    for path, photo, pixels in photos:
        if path in wanted:
            if photo != digests[path]:
                changed.add(path)
            yield path, photo, pixels


def _spread_first(folder: list[Path], missing: list[Path], count: int) -> list[Path]:
    """The missing photos, after `count` of the whole folder: the engine is judged by these.

    Neighbours in a folder are of one class, and so alike that good arithmetic would look bad
    beside the little they differ; and one new photo tells nothing.
    """
    first = folder[:: max(1, len(folder) // count)][:count]
    chosen = set(first)
    return first + [path for path in missing if path not in chosen]


def _on_disk(shelves: Sequence[Shelf]) -> bool:
    return all(isinstance(shelf, RowStore) for shelf in shelves)
