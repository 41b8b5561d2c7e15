"""Trunks in int8: whole numbers of 8 bits, their scales taken from the user's own photos.

The quantising is NNCF's, an extra that is not installed by default. NNCF reports usage over the
network, prints progress, and replaces the class of loggers; here it does none of the three.
"""

import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.arrays import Pixels
from budwood.errors import ConfigError, EngineError
from budwood.features.untracked import ov, untracked
from budwood.threads import TRACING

CALIBRATION = 128
"""Photos that the scales are taken from; 300 gave EfficientNet-Lite0 no better rows."""

_LAYERS = {"Convolution", "FullyConnected", "MatMul"}
_NOISY = ("nncf", "torch.utils.cpp_extension")


class _Silence:
    """Stands where NNCF has what reports its use: takes every message, and drops it."""

    def start_session(self, *_: Any, **__: Any) -> None:
        pass

    send_event = end_session = start_session


def quantised(model: ov.Model, photos: Sequence[Pixels]) -> ov.Model:
    """The int8 form of a converted trunk, whose scales fit these photos.

    Weights have a scale for each channel, activations one for each tensor. Equal photos in the
    same order give an equal model. `model` stays as it was.

    Args:
        model: From pixels `n h w c` uint8, its batch size left open.
        photos: `n h w c` each, about `CALIBRATION` of them from all classes; how they are
            grouped into batches changes nothing.

    Raises:
        ConfigError: If NNCF is not installed, or there are no photos, or of different shapes.
        EngineError: If NNCF cannot quantise this trunk.
    """
    one_by_one = _checked(photos)
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
            lines = str(problem).split("\n")
            reason = next((line for line in reversed(lines) if line.strip(" -")), repr(problem))
            raise EngineError(
                f"NNCF cannot quantise this trunk: {reason.strip(' -.')}.",
                next="Use --precision auto.",
            ) from problem
    return _as_saved(int8)


def calibration_key(photos: Sequence[bytes]) -> str:
    """What int8 rows depend on beside the trunk: NNCF's version and the photos of the scales.

    Args:
        photos: The digests of the photos given to `quantised`, in that order.

    Raises:
        ConfigError: If NNCF is not installed.
    """
    together = blake2b(b"".join(blake2b(photo).digest() for photo in photos), digest_size=16)
    return f"nncf {require_nncf()} {len(photos)} photos {together.hexdigest()}"


def int8_layers(compiled: ov.CompiledModel) -> tuple[int, int]:
    """How many convolutions and linear layers really run in int8, and how many there are.

    OpenVINO runs depthwise convolutions in bf16 or fp32, whatever the model says.
    """
    precisions = [
        info["runtimePrecision"].astype(str)
        for info in (node.get_rt_info() for node in compiled.get_runtime_model().get_ops())
        if info["layerType"].astype(str) in _LAYERS
    ]
    return sum(precision in ("i8", "u8") for precision in precisions), len(precisions)


def _as_saved(model: ov.Model) -> ov.Model:
    """Without the notes of the conversion, which a file does not keep.

    One of them forbids turning a division into a product. The last bit that this changes decides
    roundings to int8, so that rows of the model and of its saved copy would differ.
    """
    for node in model.get_ops():
        notes = node.get_rt_info()
        for name in list(notes):
            del notes[name]
    return model


def _checked(photos: Sequence[Pixels]) -> list[NDArray[np.uint8]]:
    """The photos as batches of one, so that NNCF's averages are over photos."""
    shapes = {f"{' '.join(map(str, batch.shape[1:]))} {batch.dtype}" for batch in photos}
    if len(shapes) > 1:
        raise ConfigError(
            f"The photos for the scales of int8 are {' and '.join(sorted(shapes))}.",
            expected="All must be of one shape `h w c` and type.",
        )
    one_by_one = [batch[i : i + 1].copy() for batch in photos for i in range(len(batch))]
    if not one_by_one:
        raise ConfigError("int8 needs photos for its scales, got none.")
    return one_by_one


def require_nncf() -> str:
    """The version of NNCF.

    Raises:
        ConfigError: If it is not installed.
    """
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
        with untracked():
            import nncf
    finally:
        logging.setLoggerClass(kind)
    return nncf  # type: ignore[no-any-return]


@contextmanager
def _quiet() -> Iterator[ModuleType]:
    """NNCF; while this lasts it neither reports, prints nor warns."""
    with TRACING, warnings.catch_warnings(), untracked():
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
