"""From a trunk in torch to a model of OpenVINO, made once and kept on disk.

The trunk is converted through OpenVINO's PyTorch frontend itself, not through its `convert_model`
front door, which reports usage over the network unless the user has opted out.
"""

import logging
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.jit._trace import TracerWarning

from budwood.errors import EngineError
from budwood.features.trunks import keep_trunk, kept_trunk
from budwood.features.untracked import ov, pytorch_frontend
from budwood.threads import TRACING, settle_torch


def converted(trunk: nn.Module, example: NDArray[np.uint8], key: str | None = None) -> ov.Model:
    """The trunk as an OpenVINO model, its batch size left open.

    Args:
        trunk: Pixels `n h w c` to a tuple of tensors.
        example: One photo, `1 h w c`.
        key: What the trunk computes, as a name: a model that is kept under it is taken, a new one
            is kept. None keeps nothing.

    Raises:
        EngineError: If OpenVINO's frontend cannot take it.
    """
    if key is not None and (kept := kept_trunk(key)) is not None:
        return kept
    try:
        model = _convert(trunk, torch.from_numpy(example[:1].copy()))
    except Exception as problem:  # its converter raises nearly every class there is
        lines = str(problem).split("\n")
        reason = next((line for line in reversed(lines) if line.strip(" -")), repr(problem))
        raise EngineError(f"OpenVINO cannot run this trunk: {reason.strip(' -')}.") from problem
    if key is None or not keep_trunk(key, model):
        return model
    # As it will be read next time: OpenVINO tidies a graph up when it writes it, which rounds
    # otherwise.
    return kept_trunk(key) or model


def _convert(trunk: nn.Module, pixels: torch.Tensor) -> ov.Model:
    manager, decoder = pytorch_frontend()
    settle_torch()
    quiet = logging.getLogger("openvino.frontend.pytorch.ts_decoder")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with TRACING, warnings.catch_warnings(), torch.no_grad():
            # OpenVINO's decoder uses torch.jit.trace, which torch 2.14 calls deprecated.
            warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated")
            warnings.filterwarnings("ignore", category=TracerWarning)
            # Tracing it again to compare takes as long, and says less than verification does.
            unchecked = {"check_trace": False}
            traced = decoder(trunk, example_input=(pixels,), trace_kwargs=unchecked)
        frontend = manager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(traced))
        model.reshape({0: ov.PartialShape([-1, *pixels.shape[1:]])})
    finally:
        quiet.setLevel(level)
    return model
