"""From a list of photos to their frontier rows: what is stored is read, the rest is computed."""

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from budwood.display import displayed
from budwood.errors import StoreError
from budwood.features.engine_choice import EngineChoice
from budwood.features.engines import EngineSpec
from budwood.features.extraction import (
    Decoded,
    Unreadable,
    decoded,
    extract,
    identify,
    store_rows,
)
from budwood.features.int8 import Calibration
from budwood.features.rows import LiveRows, RowSource, StoredRows
from budwood.features.store import (
    MemoryCache,
    RowCache,
    RowStore,
    maker_key,
    room_for,
    store_folder,
)
from budwood.features.verification import PROBES
from budwood.fields import Checked
from budwood.images.contents import CONTENTS
from budwood.images.decode import Oddities
from budwood.images.preprocessing import PIXELS, Preprocessing
from budwood.reporter import Reporter
from budwood.settings import same
from budwood.surgery.cutting import Cut

CHANGED = "The photo changed while it was read."
AHEAD_BYTES = 128 * 2**20
"""Pixels that are decoded while the network is still being compiled."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Extraction(Checked):
    """How frozen trunks are run; `Settings` says what each field means."""

    precision: str = same("precision")
    device: str = same("device")
    store_limit: int | None = same("store_limit")


@displayed
@dataclass(frozen=True)
class FeatureSet:
    """The rows of a list of photos, and where they came from."""

    rows: RowSource
    """Rows of `paths`, in that order."""
    paths: tuple[Path, ...]
    """The photos that could be read, in the order asked for."""
    images: tuple[bytes, ...]
    """Their digests."""
    unreadable: dict[Path, str]
    """The others, with the reason."""
    engine: EngineSpec
    """What made the rows."""
    hits: int
    """Photos whose rows were there already."""
    misses: int
    """Photos that went through the trunk."""
    bytes: int
    """Bytes of these rows in the store; 0 if they are not stored."""


class FeatureExtractor:
    """Makes the frontier of photos available, for one cut and one preprocessing."""

    def __init__(
        self,
        cut: Cut,
        preprocessing: Preprocessing,
        options: Extraction,
        reporter: Reporter,
        calibration: Calibration | None = None,
        network: str = "",
    ) -> None:
        """Compute nothing yet; `network` is what people call it."""
        self._cut = cut
        self._preprocessing = preprocessing
        self._options = options
        self._reporter = reporter
        self.choice = EngineChoice(
            cut, preprocessing, options.precision, options.device, calibration, reporter, network
        )
        self._held: Sequence[RowCache] | None = None
        self._opened: dict[tuple[Path, str], list[RowStore]] = {}
        self._reported: set[Path] = set()

    def gather(self, paths: Sequence[Path], *, keep: bool = True) -> FeatureSet:
        """The rows of these photos; what is not stored yet goes through the trunk, once.

        Args:
            paths: Photos; equal files are computed once.
            keep: False stores nothing that is computed now.
        """
        digests, unreadable = identify(paths)
        made = self._made(set(digests.values())) if keep and self.choice.engine is None else {}
        self.choice.prefer(lambda spec: made.get(spec, 0))
        found = _RowIndex(self._shelves(), digests)
        if found.missing:
            found = self._computed(digests, found, keep, made)
        CONTENTS.let_go(paths)  # what was not missing need not be decoded
        bad = {digests[path]: reason for path, reason in found.unreadable.items()}
        unreadable |= {path: bad[image] for path, image in digests.items() if image in bad}
        good = tuple(path for path in paths if path not in unreadable)
        images = tuple(digests[path] for path in good)
        computed = len(found.missing.keys() - bad.keys()) if found.is_stored else len(good)
        return FeatureSet(
            rows=self._rows(found, good, images),
            paths=good,
            images=images,
            unreadable=unreadable,
            engine=self.choice.spec,
            hits=len(good) - computed,
            misses=computed,
            bytes=len(set(images)) * self._row_bytes if found.is_on_disk else 0,
        )

    def stored(self, paths: Sequence[Path]) -> int:
        """How many of these photos have rows of one engine; nothing is computed."""
        digests, _ = identify(paths)
        made = self._made(set(digests.values()))
        return max(made.values(), default=0)

    def _computed(
        self,
        digests: Mapping[Path, bytes],
        found: "_RowIndex",
        keep: bool,
        made: Mapping[EngineSpec, int],
    ) -> "_RowIndex":
        """Put missing images through the trunk."""
        few = not keep or len(set(digests.values())) < PROBES

        def is_known(spec: EngineSpec) -> bool:
            """The engine need not be judged: it has made rows of these photos before, or there are
            but a few to judge it by and it has agreed on this trunk before."""
            return made.get(spec, 0) > 0 or (few and self.choice.has_agreed(spec))

        is_new = self.choice.engine is None
        order = list(found.missing.values())
        if is_new and keep and not is_known(self.choice.spec):
            order = _spread_first(list(_one_each(digests).values()), order, PROBES)
        odd = Oddities()
        decode = partial(decoded, preprocessing=self._preprocessing, contents=CONTENTS, odd=odd)
        with closing(decode(order, ahead=AHEAD_BYTES if is_new else 0)) as images:
            taken = self.choice.settle(
                images, is_known, by_images=keep, to_run=len(found.missing) if keep else 0
            )
            if self.choice.engine is not None:
                found = self._shelved(digests, taken, keep)
            # The engine need not be the one that was preferred, and then it lacks other images.
            others = [path for path in found.missing.values() if path not in set(order)]
            with closing(decode(others)) as rest:
                wanted = _wanted(found.missing.values(), chain(taken, images, rest), digests)
                found.unreadable = self._run(wanted, found, keep)
        for line in odd.lines():
            self._reporter.note(line)
        if found.is_stored:
            _require_rows(_RowIndex(found.shelves, digests).missing.values(), found.unreadable)
        return found

    def _shelved(
        self, digests: Mapping[Path, bytes], taken: Sequence[Decoded | Unreadable], keep: bool
    ) -> "_RowIndex":
        """What the engine in use lacks, and where its rows will be kept."""
        found = _RowIndex(self._shelves(), digests)
        bad = {image.path for image in taken if isinstance(image, Unreadable)}
        count = sum(path not in bad for path in found.missing.values())
        room, note = room_for(count, self._row_bytes, self._options.store_limit)
        if keep:
            self._reporter.note(note)
        if not keep or room != "disk":
            found.shelves = [MemoryCache(shelf) for shelf in found.shelves]
            self._held = found.shelves if keep and room == "memory" else None
        found.is_stored = room != "nowhere"
        return found

    def _run(
        self,
        images: Generator[Decoded | Unreadable, None, None],
        found: "_RowIndex",
        keep: bool,
    ) -> dict[Path, str]:
        """Store the rows of these images; those that have none, with the reason."""
        if self.choice.engine is None or not found.is_stored:  # they are read all the same
            return {image.path: image.reason for image in images if isinstance(image, Unreadable)}
        return store_rows(
            extract(images, self.choice.engine),
            len(found.missing),
            found.shelves,
            compact=self._is_compact and keep,
            reporter=self._reporter,
        )

    def _made(self, images: set[bytes]) -> dict[EngineSpec, int]:
        """How many of these photos each engine has made the stored rows of."""
        stores = {spec: self._stores(spec) for spec in self.choice.specs}
        return {
            spec: sum(all(image in store for store in own) for image in images)
            for spec, own in stores.items()
        }

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

    def _shelves(self) -> Sequence[RowCache]:
        """Where the rows of each frontier tensor are, for the engine in use or preferred."""
        if self._held:
            return self._held
        stores = self._stores(self.choice.spec)
        damaged = {path: why for store in stores for path, why in store.damaged.items()}
        for path in damaged.keys() - self._reported:
            self._reporter.note(
                f"In the feature store {damaged[path]} It is not used; "
                "`budwood cache verify` removes it."
            )
        self._reported |= damaged.keys()
        return stores

    def _stores(self, spec: EngineSpec) -> list[RowStore]:
        """The stores of an engine's rows, opened once, and up to date."""
        place = store_folder(), spec.key
        if place in self._opened:
            for store in self._opened[place]:
                store.refresh()
            return self._opened[place]
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
        self._opened[place] = stores
        return stores

    def _rows(
        self, found: "_RowIndex", paths: Sequence[Path], images: Sequence[bytes]
    ) -> RowSource:
        axes = tuple(tensor.feature_axis for tensor in self._cut.frontier)
        if found.is_stored:
            return StoredRows(found.shelves, images, self._cut.row_bytes, axes)
        assert self.choice.engine is not None
        return LiveRows(paths, self._preprocessing, self.choice.engine, axes)

    def measured(self, paths: Sequence[Path]) -> float:
        """Seconds that the engine takes for one of these photos, decoding left out."""
        with closing(decoded(paths, self._preprocessing)) as images:
            return self.choice.measured(images)


class _RowIndex:
    """Where the rows of images are, and which have none yet."""

    def __init__(self, shelves: Sequence[RowCache], digests: Mapping[Path, bytes]) -> None:
        self.shelves = shelves
        self.missing = {
            image: path
            for image, path in _one_each(digests).items()
            if any(image not in shelf for shelf in shelves)
        }
        """One path for each image that some shelf lacked."""
        self.unreadable: dict[Path, str] = {}
        """Those of them that could not be decoded."""
        self.is_stored = True
        """False if there is no room for rows: they are made each time."""

    @property
    def is_on_disk(self) -> bool:
        return all(isinstance(shelf, RowStore) for shelf in self.shelves)


def _one_each(digests: Mapping[Path, bytes]) -> dict[bytes, Path]:
    """One path for each image."""
    return {image: path for path, image in digests.items()}


def _wanted(
    paths: Collection[Path],
    images: Iterable[Decoded | Unreadable],
    digests: Mapping[Path, bytes],
) -> Generator[Decoded | Unreadable, None, None]:
    """Those of the images that have one of these paths; one with other content than before gives
    its rows, and counts as unreadable."""
    wanted = set(paths)
    for image in images:
        if image.path in wanted:
            yield image
            if isinstance(image, Decoded) and image.digest != digests[image.path]:
                yield Unreadable(image.path, CHANGED)


def _require_rows(missing: Iterable[Path], unreadable: Collection[Path]) -> None:
    """Raise if rows that were computed are not to be found."""
    lost = [path for path in missing if path not in unreadable]
    if lost:
        raise StoreError(
            f"The rows of {len(lost)} photos are not in the store, though they were computed "
            f"just now; the first is {lost[0]}.",
            next="Run it again; empty the store only while nothing else uses it.",
            file=lost[0],
        )


def _spread_first(folder: list[Path], missing: list[Path], count: int) -> list[Path]:
    """The missing photos after `count` of the whole folder, by which the engine is judged.

    Neighbours are so alike that good arithmetic would look bad beside the little they differ.
    """
    first = folder[:: max(1, len(folder) // count)][:count]
    chosen = set(first)
    return first + [path for path in missing if path not in chosen]
