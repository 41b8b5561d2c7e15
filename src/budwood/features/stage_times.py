"""How long a trunk takes up to each of its outputs, and how that is remembered."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from budwood.features.trunks import remember, remembered
from budwood.surgery.stages import before

TIMES = "stage-times.json"
"""Beside a kept trunk: seconds up to each output, for each engine on each processor."""
SECONDS = 0.5
"""Layers are timed again until this has passed; the least counts, since machines are shared."""


def shares(trunk: nn.Module, photo: Tensor) -> tuple[float, ...]:
    """The share of a trunk's time up to each of its outputs, 0 to 1.

    Each layer is timed in torch. Multiply-adds would not do: early layers wait for memory.
    """
    assert isinstance(trunk, fx.GraphModule)
    timed = _Timed(trunk)
    with torch.inference_mode():
        timed.run(photo)  # the first run pays for memory and choices
        timed.seconds.clear()
        started = time.perf_counter()
        while not timed.seconds or time.perf_counter() - started < SECONDS:
            timed.run(photo)
    (output,) = trunk.graph.find_nodes(op="output")
    whole = sum(timed.seconds.values())
    return tuple(sum(timed.seconds[n] for n in before(end)) / whole for end in output.args[0])


def kept_times(key: str, engine: str) -> tuple[float, ...] | None:
    """Seconds up to each output of a kept trunk, as measured before; None if they were not."""
    try:
        return tuple(map(float, remembered(key, TIMES, engine)))
    except (ValueError, TypeError):
        return None  # they are measured again


def keep_times(key: str, engine: str, seconds: Sequence[float]) -> None:
    """Remember them beside the trunk, if that is kept."""
    remember(key, TIMES, engine, list(seconds))


class _Timed(fx.Interpreter):
    """Runs a graph and takes down the least time of each node."""

    def __init__(self, trunk: fx.GraphModule) -> None:
        super().__init__(trunk, garbage_collect_values=True)
        self.seconds: dict[fx.Node, float] = {}

    def run_node(self, n: fx.Node) -> Any:
        started = time.perf_counter()
        value = super().run_node(n)
        took = time.perf_counter() - started
        self.seconds[n] = min(took, self.seconds.get(n, took))
        return value
