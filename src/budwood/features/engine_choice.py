"""The engine of one trunk: which are tried, and the one that the first photos have settled."""

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from torch import fx

from budwood.arrays import Pixels
from budwood.features.calibrating import Calibration, calibrated_engine, seconds_per_photo
from budwood.features.engines import Engine, EngineSpec, preferred_specs, trust_name
from budwood.features.reading_ahead import Decoded
from budwood.features.trunks import is_trusted, note_trust, trunk_key
from budwood.features.verification import DRAWN_SLACK, PROBES, trusted_engine
from budwood.golden import draw_golden_images
from budwood.images.preprocessing import Preprocessing
from budwood.surgery.cutting import Cut
from budwood.surgery.fingerprints import graph_keys, module_key
from budwood.threads import Lock


class EngineChoice:
    """The engine that runs a trunk, from the wish for one to one that is trusted."""

    def __init__(
        self,
        cut: Cut,
        preprocessing: Preprocessing,
        precision: str,
        device: str,
        calibration: Calibration | None,
        on_note: Callable[[str], None],
    ) -> None:
        """Nothing is built yet.

        Args:
            cut: Of a `Prepared` network: its trunk takes pixels.
            preprocessing: From file bytes to pixels.
            precision: Arithmetic that is asked for.
            device: Where the trunk runs.
            calibration: If given, the trunk runs in int8 with these scales, whatever is asked for.
            on_note: Told each refusal, in one line.

        Raises:
            ConfigError: If the precision or the device does not exist here.
        """
        self._trunk, self._preprocessing = cut.trunk, preprocessing
        self._calibration, self._on_note = calibration, on_note
        self.keys = frontier_keys(cut)
        """One key for each frontier tensor: equal keys, equal rows."""
        runs = set(self.keys) != {"input"}
        self._specs = (
            preferred_specs(precision, device, network_runs=runs)
            if calibration is None
            else [calibration.spec]
        )
        self._is_open = precision not in ("bf16", "int8")
        self.engine: Engine | None = None
        """None until photos have settled it."""
        self.seconds_per_photo = 0.0
        self._lock = Lock()

    @property
    def specs(self) -> tuple[EngineSpec, ...]:
        """The engines that are tried, best first."""
        return tuple(self._specs)

    @property
    def spec(self) -> EngineSpec:
        """The engine in use, or the one that would be."""
        return self._specs[0] if self.engine is None else self.engine.spec

    @property
    def trunk_key(self) -> str:
        """The name of the trunk among the kept ones, in fp32 and bf16."""
        height, width = self._preprocessing.size
        return trunk_key(self.keys, (height, width, len(self._preprocessing.mean)))

    def prefer(self, worth: Callable[[EngineSpec], int]) -> None:
        """Put the engines that are worth most first, if none is in use and none was asked for."""
        with self._lock:
            if self.engine is None and self._is_open:
                self._specs = sorted(self._specs, key=lambda spec: -worth(spec))

    def has_agreed(self, spec: EngineSpec) -> bool:
        """True if this engine was trusted with this trunk on this processor before."""
        return spec.library == "openvino" and is_trusted(self.trunk_key, trust_name(spec))

    def settle(
        self,
        photos: Generator[Decoded, None, None],
        is_known: Callable[[EngineSpec], bool] = lambda spec: False,
        *,
        by_photos: bool = True,
    ) -> list[Decoded]:
        """Build the engine and judge it, once; gives back the photos that were taken for that.

        In a thread, so that Ctrl-C need not wait for it; the other photos are decoded meanwhile.

        Args:
            photos: The first are what it is judged by. A few may be too alike to tell rounding from
                a fault: drawn pictures are then added.
            is_known: Whether an engine has agreed before: it comes first, and is not judged anew.
            by_photos: False judges by drawn pictures alone: whoever asks first, and about what, it
                is then the same engine.

        Raises:
            EngineError: If no engine can run the trunk.
        """
        with self._lock:
            if self.engine is not None:
                return []
            first = list(islice(photos, PROBES))
            if not first:
                return []
            if self._is_open:
                self._specs = sorted(self._specs, key=lambda spec: not is_known(spec))
            known = any(map(is_known, self._specs))
            probe, slack = self._probe(first if by_photos and not known else [])
            pool = ThreadPoolExecutor(1)
            try:
                built = pool.submit(self._built, probe, is_known, slack)
                engine, self.seconds_per_photo = built.result()
            finally:
                pool.shutdown(wait=False)
            self.engine = engine
            return first

    def _probe(self, photos: Sequence[Decoded]) -> tuple[Pixels, float]:
        """The different ones of these photos, with drawn pictures where they are few, and the slack
        that these need."""
        given = list({pixels.tobytes(): pixels for _, _, pixels in photos}.values())
        if len(given) >= PROBES:
            return np.stack(given), 1.0
        drawn = map(self._preprocessing.pixels, draw_golden_images(PROBES))
        return np.stack([*given, *drawn]), DRAWN_SLACK

    def measured(self, photos: Generator[Decoded, None, None]) -> float:
        """Seconds that the engine takes for one of these photos, decoding left out."""
        all_of_them = [*self.settle(photos), *photos]
        assert self.engine is not None
        return seconds_per_photo(self.engine, _pixels(all_of_them))

    def _built(
        self, probe: Pixels, is_known: Callable[[EngineSpec], bool], slack: float
    ) -> tuple[Engine, float]:
        trunk, settings = self._trunk, self._preprocessing
        if self._calibration is not None:
            return calibrated_engine(trunk, probe, self.trunk_key, self._calibration, settings)
        engine, verdict = trusted_engine(
            trunk, self._specs, probe, self._on_note, self.trunk_key, is_known, slack
        )
        if engine.spec.library == "openvino":
            note_trust(self.trunk_key, trust_name(engine.spec))
        return engine, verdict.seconds_per_photo


def frontier_keys(cut: Cut) -> tuple[str, ...]:
    """One key for each frontier tensor of a cut: equal keys, equal rows for equal pixels."""
    if isinstance(cut.trunk, fx.GraphModule):
        return graph_keys(cut.trunk)
    return (module_key(cut.trunk),)


def _pixels(photos: Iterable[Decoded]) -> Pixels:
    return np.stack([pixels for _, _, pixels in photos])
