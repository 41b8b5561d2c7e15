"""The engine of one trunk: which are tried, and the one that the first photos have settled."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
from torch import fx

from budwood.arrays import Pixels
from budwood.features.calibrating import Calibration, calibrated_engine, seconds_per_photo
from budwood.features.engines import Engine, EngineSpec, preferred_specs, trust_name
from budwood.features.reading_ahead import Decoded
from budwood.features.trunks import note_trust, trunk_key
from budwood.features.verification import PROBES, trusted_engine
from budwood.images.preprocessing import Preprocessing
from budwood.surgery.cutting import Cut
from budwood.surgery.fingerprints import graph_keys, module_key


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
        if self.engine is None and self._is_open:
            self._specs.sort(key=lambda spec: -worth(spec))

    def settle(self, photos: Generator[Decoded, None, None]) -> list[Decoded]:
        """Build and judge the engine; gives back the photos that it was judged by.

        In a thread, so that Ctrl-C need not wait for it; the other photos are decoded meanwhile.

        Raises:
            EngineError: If no engine can run the trunk.
        """
        if self.engine is not None:
            return []
        first = list(islice(photos, PROBES))
        if not first:
            return []
        pool = ThreadPoolExecutor(1)
        try:
            self.engine, self.seconds_per_photo = pool.submit(self._built, _pixels(first)).result()
        finally:
            pool.shutdown(wait=False)
        return first

    def measured(self, photos: Generator[Decoded, None, None]) -> float:
        """Seconds that the engine takes for one of these photos, decoding left out."""
        all_of_them = [*self.settle(photos), *photos]
        assert self.engine is not None
        return seconds_per_photo(self.engine, _pixels(all_of_them))

    def _built(self, probe: Pixels) -> tuple[Engine, float]:
        trunk, settings = self._trunk, self._preprocessing
        if self._calibration is not None:
            return calibrated_engine(trunk, probe, self.trunk_key, self._calibration, settings)
        engine, verdict = trusted_engine(trunk, self._specs, probe, self._on_note, self.trunk_key)
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
