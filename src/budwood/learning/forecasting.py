"""How long training will take here, and how much memory, from a few seconds with the own photos.

Photos are decoded and run through the frozen network as in training, and a few steps of training
are timed on noise; nothing is stored. The figures are for a first training, with nothing stored
yet, at the default epochs and batch size.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from budwood.errors import CutError
from budwood.features.rows import IN_MEMORY
from budwood.learning.answering import EVALUATION_BYTES
from budwood.learning.blocks import KEPT_BYTES
from budwood.learning.photo_times import PhotoTimes, photo_times
from budwood.learning.probe_times import probe_seconds
from budwood.learning.step_times import step_times
from budwood.learning.training import Training
from budwood.machine import most_memory
from budwood.networks.building import build
from budwood.networks.heads import head_names
from budwood.networks.info import preprocessing_of
from budwood.networks.prepared import Prepared
from budwood.surgery.cutting import Cut, cut
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.last_stage import last_stage
from budwood.surgery.stages import Stages, stages_of

STEPPING = 1.5
"""Seconds for the steps of each graft."""
BESIDES = 2.0
"""Seconds of what is not measured: the proof that what is frozen has not moved, and saving."""


@dataclass(frozen=True)
class Forecast:
    """What one way of training will take."""

    trains: str
    """`head`, `last stage` or `whole network`."""
    unfreeze: tuple[str, ...]
    """What `--unfreeze` is given."""
    parameters: int
    """That train."""
    seconds: float
    """From the start of the command to its end."""
    memory_bytes: int
    """At the peak."""
    stored_bytes: int
    """That the feature store will take."""

    def after(self, seconds: float) -> "Forecast":
        """The same with what a command takes before it comes to the network."""
        return replace(self, seconds=self.seconds + seconds)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"unfreeze": list(self.unfreeze)}


def forecasts(
    model: str, classes: int, training: Sequence[Path], judged: int
) -> tuple[tuple[Forecast, ...], PhotoTimes, float]:
    """What training a head, the last stage or the whole network on these photos will take.

    The network has random weights: they take as long.

    Args:
        model: Name of the network.
        classes: Of the photos.
        training: Photos to train on.
        judged: How many more are to be judged.

    Returns:
        The forecasts, without what a command takes before it builds a network, and without one of
        the last stage where the network has no stages; how the photos were; and the seconds that
        measuring took.

    Raises:
        UnknownName: If no network is called so.
        CutError: If it cannot be cut.
        PhotoError: If none of a sample of the photos can be read.
    """
    started = time.perf_counter()
    network = build(model, weights="none", classes=classes)
    forecaster = _Forecaster(network, classes, len(training), judged)
    trunk = forecaster.head_cut().trunk
    forecaster.starting = time.perf_counter() - started
    times = photo_times(trunk, preprocessing_of(network), training)
    forecaster.taken = most_memory()
    found = [forecaster.head(times), *forecaster.last_stage(times), forecaster.whole(times)]
    return tuple(found), times, times.measuring + forecaster.measuring


class _Forecaster:
    """One network and so many photos."""

    def __init__(self, network: nn.Module, classes: int, training: int, judged: int) -> None:
        self._network, self._classes = network, classes
        self._training, self._all = training, training + judged
        self._prepared = Prepared(network, preprocessing_of(network))
        self.starting = 0.0
        """Seconds until there is a network, and it is cut."""
        self.taken = 0
        """Bytes of memory, at the peak, when photos have gone through it."""
        self.measuring = 0.0
        """Seconds of training steps."""

    def head_cut(self) -> Cut:
        """The network cut for a new head."""
        return self._cut(trains=False)

    def head(self, times: PhotoTimes) -> Forecast:
        """Nothing but the head trains: it is solved."""
        head = self.head_cut()
        width = sum(torch.Size(tensor.shape).numel() for tensor in head.frontier)
        seconds = (
            times.building
            + self._all * times.running
            + probe_seconds(self._training, width, self._classes)
        )
        kept = min(4 * width * self._training, KEPT_BYTES)
        return self._forecast("head", (), head, seconds, 2 * kept)

    def last_stage(self, times: PhotoTimes) -> Iterator[Forecast]:
        """The last stage and the head train; nothing, where the network has no stages."""
        try:
            stages = self._stages()
        except CutError:
            return
        share = stages.stages[-2].macs / stages.stages[-1].macs if len(stages.stages) > 1 else 0.0
        running = times.decoding + share * (times.running - times.decoding)
        yield self._trained("last stage", last_stage(stages), running, times)

    def whole(self, times: PhotoTimes) -> Forecast:
        """Everything trains: photos are only decoded once."""
        return self._trained("whole network", ("*",), times.decoding, times)

    def _trained(
        self, what: str, globs: tuple[str, ...], running: float, times: PhotoTimes
    ) -> Forecast:
        this = self._cut(*globs)
        usual = Training()
        limit = STEPPING * (2 if what == "whole network" else 1)
        step = step_times(this.graft, this.frontier, self._classes, usual.batch_size, limit)
        self.measuring += step.measuring
        loop = step.training(self._training, usual.epochs, usual.batch_size)
        loop += 0.8 * loop  # it is trained once more, on four photos in five
        seconds = (
            (times.building if running > times.decoding else 0.0)
            + self._all * (running + step.forward)
            + loop
        )
        # Rows are copied a few times, and slopes of values come beside the values.
        rows = 2 * min(this.row_bytes * self._training, IN_MEMORY)
        answered = min(self._training, 1024, EVALUATION_BYTES // this.row_bytes)
        values = max(1.25 * usual.batch_size * step.kept, 1.2 * answered * step.alive)
        memory = rows + 3 * step.parameters + int(values)
        return self._forecast(what, globs, this, seconds, memory)

    def _forecast(
        self,
        trains: str,
        globs: tuple[str, ...],
        this: Cut,
        seconds: float,
        memory: int,
    ) -> Forecast:
        trained = sum(p.numel() for p in self._network.parameters() if p.requires_grad)
        return Forecast(
            trains,
            globs,
            trained,
            self.starting + seconds + BESIDES,
            self.taken + memory,
            this.row_bytes * self._all,
        )

    def _stages(self) -> Stages:
        height, width = self._prepared.preprocessing.size
        channels = len(self._prepared.preprocessing.mean)
        return stages_of(self._prepared, torch.zeros(1, height, width, channels, dtype=torch.uint8))

    def _cut(self, *globs: str, trains: bool = True) -> Cut:
        freeze(self._network, "*")
        unfreeze(self._network, *head_names(self._network), *globs)
        return cut(self._prepared.train(trains))
