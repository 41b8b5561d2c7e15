"""Trunks in int8: whole numbers of 8 bits, quantised by NNCF, which is an extra.

NNCF reports usage over the network, prints progress, and replaces the class of loggers; here it
does none of the three. Rows in int8 are tried for what they are worth (`learning/int8_trial.py`).
"""

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from budwood.arrays import Pixels
from budwood.errors import ConfigError, EngineError
from budwood.features import openvino
from budwood.features.engines import Engine, EngineSpec
from budwood.features.extraction import Decoded, decoded
from budwood.features.trunks import remember, remembered, trunk_key
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing
from budwood.threads import TRACING

if TYPE_CHECKING:  # what is kept is found without torch
    from torch import nn

CALIBRATION = 128
"""Images that the scales are taken from; 300 gave EfficientNet-Lite0 no better rows."""
SPEED_FILE = "speed.json"
"""Beside a kept trunk in int8: how fast it is, for each precision that it was held against."""

_NOISY = ("nncf", "torch.utils.cpp_extension")


@dataclass(frozen=True)
class Calibration:
    """The images that the scales of int8 are taken from."""

    paths: tuple[Path, ...]
    key: str
    """What rows in int8 depend on beside the trunk and the library."""
    model: tuple[bytes, bytes] | None = None
    """The quantised trunk itself, graph and weights, where a capsule has brought it."""

    @classmethod
    def of(
        cls, paths: Sequence[Path], images: Sequence[bytes], depth: Depth | None = None
    ) -> "Calibration":
        """From images that can be read, and their digests in the same order."""
        read_as = f" {depth}" if depth else ""
        return cls(
            tuple(paths), f"{calibration_key(images)}{read_as} beside {openvino.beside_int8()}"
        )

    @property
    def spec(self) -> EngineSpec:
        """The engine that has these scales."""
        return EngineSpec("openvino", "int8", calibration=self.key)

    def trunk_key(self, key: str) -> str:
        """The name of a trunk's int8 form with these scales."""
        return trunk_key([key, self.key], ())


def calibrated_engine(
    trunk: "nn.Module",
    example: Pixels,
    key: str,
    calibration: Calibration,
    preprocessing: Preprocessing,
) -> Engine:
    """An engine in int8; the images of its scales are read only if no trunk is kept."""
    int8_key = calibration.trunk_key(key)
    model = openvino.kept_model(int8_key)
    if model is None and calibration.model is not None:
        model = openvino.model_of(int8_key, *calibration.model)
    if model is None:
        with closing(decoded(calibration.paths, preprocessing)) as images:
            batches = [i.pixels[np.newaxis] for i in images if isinstance(i, Decoded)]
        model = openvino.keep_model(
            int8_key, quantised(openvino.converted(trunk, example, key), batches)
        )
    return openvino.OpenVINOEngine(model, calibration.spec)


def kept_speed(key: str, reference: str) -> float | None:
    """How many times as fast as the reference a kept trunk in int8 was; None if not measured."""
    speed = remembered(key, SPEED_FILE, reference)
    return speed if isinstance(speed, float) else None


def keep_speed(key: str, reference: str, speed: float) -> None:
    """Remember it beside the trunk, if that is kept."""
    remember(key, SPEED_FILE, reference, speed)


def quantised(model: openvino.ov.Model, images: Sequence[Pixels]) -> openvino.ov.Model:
    """The int8 form of a converted trunk, with scales that fit these photos; a new model."""
    one_by_one = _checked(images)
    with _quiet() as nncf:
        try:
            int8 = nncf.quantize(
                model.clone(),
                nncf.Dataset(one_by_one),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                target_device=nncf.TargetDevice.CPU,
                subset_size=len(one_by_one),
            )
        except Exception as problem:  # it has a dozen classes without a common base
            raise EngineError(
                f"NNCF cannot quantise this trunk: {openvino.reason(problem).strip('.')}.",
                next="Use --precision auto.",
            ) from problem
    return _as_saved(int8)


def calibration_key(images: Sequence[bytes]) -> str:
    """What int8 rows depend on beside the trunk: NNCF's version and the photos of the scales."""
    together = blake2b(b"".join(blake2b(image).digest() for image in images), digest_size=16)
    return f"nncf {require_nncf()} {len(images)} photos {together.hexdigest()}"


class _Silence:
    """Stands where NNCF has what reports its use: takes every message, and drops it."""

    def start_session(self, *_: Any, **__: Any) -> None:
        pass

    send_event = end_session = start_session


def _as_saved(model: openvino.ov.Model) -> openvino.ov.Model:
    """Without the notes of the conversion, which a file does not keep.

    One of them forbids turning a division into a product. The last bit that this changes decides
    roundings to int8, so that rows of the model and of its saved copy would differ.
    """
    for node in model.get_ops():
        notes = node.get_rt_info()
        for name in list(notes):
            del notes[name]
    return model


def _checked(images: Sequence[Pixels]) -> list[NDArray[np.uint8]]:
    """The photos as batches of one, so that NNCF's averages are over photos."""
    shapes = {f"{' '.join(map(str, batch.shape[1:]))} {batch.dtype}" for batch in images}
    if len(shapes) > 1:
        raise ConfigError(
            f"The photos for the scales of int8 are {' and '.join(sorted(shapes))}.",
            expected="All must be of one shape `h w c` and type.",
        )
    one_by_one = [batch[i : i + 1].copy() for batch in images for i in range(len(batch))]
    if not one_by_one:
        raise ConfigError("int8 needs photos for its scales, got none.")
    return one_by_one


def has_nncf() -> bool:
    """True if trunks can be quantised here."""
    try:
        require_nncf()
    except ConfigError:
        return False
    return True


def require_nncf() -> str:
    """The version of NNCF."""
    try:
        return version("nncf")
    except PackageNotFoundError:
        raise ConfigError(
            "int8 needs NNCF, which is not installed.",
            next="Run pip install 'budwood[int8]', or use --precision auto.",
        ) from None


def _imported() -> ModuleType:
    require_nncf()
    kind = logging.getLoggerClass()
    try:
        with openvino.untracked():
            import nncf
    finally:
        logging.setLoggerClass(kind)
    return nncf  # type: ignore[no-any-return]


@contextmanager
def _quiet() -> Iterator[ModuleType]:
    """NNCF; while this lasts it neither reports, prints nor warns."""
    with TRACING, warnings.catch_warnings(), openvino.untracked():
        warnings.simplefilter("ignore")
        nncf = _imported()
        loggers = [logging.getLogger(name) for name in _NOISY]
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            with redirect_stdout(io.StringIO()), _unreported():
                yield nncf
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _unreported() -> Iterator[None]:
    """Also where somebody else has imported NNCF before, with its reports."""
    decorator: Any = sys.modules["nncf.telemetry.decorator"]
    theirs = decorator.telemetry
    decorator.telemetry = _Silence()
    try:
        yield
    finally:
        decorator.telemetry = theirs
