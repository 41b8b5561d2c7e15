"""Engines in int8: their scales come from some of the user's photos, and a trunk is kept with them.

An engine in int8 is far from fp32 torch and is not verified by agreement; whoever takes its rows
tries first what they are worth (`learning/precision.py`).
"""

import json
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from budwood.arrays import Pixels
from budwood.features.converting import converted
from budwood.features.engines import SLOW_BATCH, Engine, EngineSpec
from budwood.features.openvino import OpenVINOEngine, beside_int8
from budwood.features.quantising import calibration_key, quantised
from budwood.features.reading_ahead import decoded
from budwood.features.trunks import keep_trunk, kept_trunk, trunk_key, trunks_folder
from budwood.features.untracked import ov
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing

SPEED_FILE = "speed.json"
"""Beside a kept trunk in int8: how fast it is, for each precision that it was held against."""


@dataclass(frozen=True)
class Calibration:
    """The photos that the scales of int8 are taken from."""

    paths: tuple[Path, ...]
    key: str
    """What rows in int8 depend on beside the trunk and the library."""

    @classmethod
    def of(
        cls, paths: Sequence[Path], photos: Sequence[bytes], depth: Depth | None = None
    ) -> "Calibration":
        """From photos that can be read, and their digests in the same order.

        Args:
            paths: The photos.
            photos: Their digests.
            depth: What is black and white in those of more than 8 bits.

        Raises:
            ConfigError: If NNCF is not installed.
        """
        read_as = f" {depth}" if depth else ""
        return cls(tuple(paths), f"{calibration_key(photos)}{read_as} beside {beside_int8()}")

    @property
    def spec(self) -> EngineSpec:
        """The engine that has these scales."""
        return EngineSpec("openvino", "int8", calibration=self.key)

    def trunk_key(self, key: str) -> str:
        """The name of a trunk's int8 form with these scales."""
        return trunk_key([key, self.key], ())


def calibrated_engine(
    trunk: nn.Module,
    probe: Pixels,
    key: str,
    calibration: Calibration,
    preprocessing: Preprocessing,
) -> tuple[Engine, float]:
    """An engine in int8, and its seconds a photo; the photos are read only if no trunk is kept.

    Args:
        trunk: Pixels `n h w c` to a tuple of tensors.
        probe: A few photos `n h w c` to time it by.
        key: What the trunk computes, as a name.
        calibration: Where the scales come from.
        preprocessing: From file bytes to pixels.

    Raises:
        EngineError: If the trunk cannot be converted or quantised.
    """
    model = _int8_trunk(trunk, probe, key, calibration, preprocessing)
    engine = OpenVINOEngine(model, calibration.spec, batch=SLOW_BATCH)
    return engine, seconds_per_photo(engine, probe)


def seconds_per_photo(engine: Engine, photos: Pixels) -> float:
    """How long an engine takes for a photo with several batches under way, as in a pass."""
    engine.expect(SLOW_BATCH)
    batches = [(i, photos[i : i + SLOW_BATCH]) for i in range(0, len(photos), SLOW_BATCH)]
    for _ in engine.stream(batches):  # memory for batches of this size is made once
        pass
    started = time.perf_counter()
    for _ in engine.stream(batches):
        pass
    return (time.perf_counter() - started) / len(photos)


def kept_speed(key: str, reference: str) -> float | None:
    """How many times as fast as the reference a kept trunk in int8 was; None if not measured."""
    try:
        speeds = json.loads((trunks_folder() / key / SPEED_FILE).read_bytes())
        return float(speeds[reference])
    except (OSError, ValueError, LookupError, TypeError):
        return None  # it is measured again


def keep_speed(key: str, reference: str, speed: float) -> None:
    """Remember it beside the trunk, if that is kept."""
    place = trunks_folder() / key
    with suppress(OSError):  # a convenience, as the kept trunk itself is
        if place.is_dir():
            (place / SPEED_FILE).write_text(json.dumps({reference: speed}))


def _int8_trunk(
    trunk: nn.Module,
    probe: Pixels,
    key: str,
    calibration: Calibration,
    preprocessing: Preprocessing,
) -> ov.Model:
    int8_key = calibration.trunk_key(key)
    if (kept := kept_trunk(int8_key)) is not None:
        return kept
    with closing(decoded(calibration.paths, preprocessing, {})) as photos:
        batches = [pixels[np.newaxis] for _, _, pixels in photos]
    model = quantised(converted(trunk, probe[:1], key), batches)
    return (kept_trunk(int8_key) or model) if keep_trunk(int8_key, model) else model
