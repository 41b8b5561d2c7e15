"""A network that is compared: one trunk gives all its stages, and each gets a probe and two scores.

How long the trunk takes up to each stage is measured, and remembered beside it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from budwood.data.splits import Split
from budwood.evaluation.comparison import ComparedNetwork, ComparedStage
from budwood.evaluation.transferability import h_score, logme, spectrum
from budwood.features.engines import verified_name
from budwood.features.gathering import Extraction, FeatureExtractor, FeatureSet
from budwood.features.rows import IN_MEMORY, RowSource, RowSubset
from budwood.features.trunks import remember, remembered
from budwood.images.depth import Depth
from budwood.intervals import accuracy_interval
from budwood.learning.probe import Probe, cross_validated
from budwood.learning.streaming import FeatureRows
from budwood.models.building import build
from budwood.models.candidates import Candidate, published_file
from budwood.models.catalog import find
from budwood.models.constructing import choose
from budwood.models.info import preprocessing_of, set_depth
from budwood.models.prepared import Prepared
from budwood.reporter import Reporter
from budwood.surgery.stages import Stage, Stages, before, stages_of
from budwood.tensors import Labels

TIMES = "stage-times.json"
"""Beside a kept trunk: seconds up to each output, for each engine on each processor."""
SECONDS = 0.5
"""Layers are timed again until this has passed; the least counts, since machines are shared."""


def shares(trunk: nn.Module, image: Tensor) -> tuple[float, ...]:
    """The share of a trunk's time up to each of its outputs, 0 to 1.

    Each layer is timed in torch. Multiply-adds would not do: early layers wait for memory.
    """
    assert isinstance(trunk, fx.GraphModule)
    timed = _Timed(trunk)
    with torch.inference_mode():
        timed.run(image)  # the first run pays for memory and choices
        timed.seconds.clear()
        started = time.perf_counter()
        while not timed.seconds or time.perf_counter() - started < SECONDS:
            timed.run(image)
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


IMAGES_OF_SCORES = 5000
"""Photos by which LogME and the H-score are computed at most: they take a decomposition."""


def _compared(
    stage: Stage,
    seconds: float,
    rows: RowSource,
    labels: Labels,
    classes: int,
    config: Probe,
    groups: NDArray[np.integer] | None,
) -> ComparedStage:
    """A probe on one stage, cross-validated, and what two scores say of its features."""
    truth = labels.numpy()
    started = time.perf_counter()
    probe = cross_validated(rows, labels, classes, config, groups)
    fit_seconds = time.perf_counter() - started
    right = probe.logits.argmax(1).numpy() == truth
    some = _spread(truth, IMAGES_OF_SCORES)
    seen = spectrum(rows.take(some.tolist())[0].float().numpy(), truth[some])
    return ComparedStage(
        name=stage.name,
        width=stage.width,
        macs=stage.macs,
        memory=stage.memory,
        seconds=seconds,
        top1=float(right.mean()),
        interval=accuracy_interval(right, groups),
        balanced_accuracy=fmean(float(right[truth == k].mean()) for k in np.unique(truth)),
        l2_strength=probe.l2_strength,
        logme=logme(seen),
        h_score=h_score(seen),
        fit_seconds=fit_seconds,
        right=right,
    )


def _spread(labels: NDArray[np.integer], most: int) -> NDArray[np.integer]:
    """Positions of so many photos at most, spread over the classes."""
    by_class = np.argsort(labels, kind="stable")
    places = np.linspace(0, len(labels) - 1, min(len(labels), most))
    return np.sort(by_class[places.astype(int)])


TIMED = 32
"""Photos that a network is timed on."""


class StagedNetwork:
    """A network that is compared, as one trunk that gives all its stages."""

    def __init__(
        self,
        candidate: Candidate,
        extraction: Extraction,
        reporter: Reporter,
        depth: Depth | None = None,
    ) -> None:
        """Build it and find its stages; no photo is read yet."""
        architecture = find(candidate.model)
        choice = choose(architecture, candidate.weights)
        self._model = candidate.model
        if choice.published and published_file(architecture, choice.published) is None:
            reporter.note(
                f"The weights of {candidate} are not on this machine: they are downloaded."
            )
        network = build(candidate.model, weights=candidate.weights)
        set_depth(network, depth or Depth())
        self._weights = choice.label
        file = choice.file or published_file(architecture, choice.label)
        self._download = None if file is None or file.is_dir() else file.stat().st_size
        preprocessing = preprocessing_of(network)
        height, width = preprocessing.size
        generator = torch.Generator().manual_seed(0)
        shape = (1, height, width, len(preprocessing.mean))
        self._image = torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        self._stages: Stages = stages_of(Prepared(network, preprocessing), self._image)
        self._gatherer = FeatureExtractor(
            self._stages.cut, preprocessing, extraction, reporter, network=architecture.name
        )

    def gather(self, paths: Sequence[Path]) -> FeatureSet:
        """The rows of all stages; what is not stored goes through the network, once."""
        return self._gatherer.gather(paths)

    def judged(
        self, gathered: FeatureSet, train: Split, config: Probe, reporter: Reporter
    ) -> ComparedNetwork:
        """A probe on each stage; images that belong together are held out together."""
        place = {path: i for i, path in enumerate(gathered.paths)}
        positions = [place[path] for path in train.paths]
        labels = torch.from_numpy(np.asarray(train.targets, np.int64))
        groups = train.group_numbers
        times = self._seconds(gathered)
        results = []
        rows = self._rows(gathered, positions)
        for stage, of_stage, seconds in zip(self._stages.stages, rows, times, strict=True):
            classes = len(train.classes)
            result = _compared(stage, seconds, of_stage, labels, classes, config, groups)
            reporter.note(f"  {stage.name}: top-1 {result.top1:.3f}")
            results.append(result)
        return ComparedNetwork(
            self._model,
            self._weights,
            self._download,
            gathered.hits,
            gathered.misses,
            tuple(results),
        )

    def _rows(self, gathered: FeatureSet, positions: list[int]) -> list[RowSource]:
        """The features of each stage: read at once where memory is no matter."""
        if len(positions) * self._stages.cut.row_bytes <= IN_MEMORY:
            return [FeatureRows(tensor) for tensor in gathered.rows.take(positions)]
        return [RowSubset(gathered.rows, positions, [i]) for i in range(len(self._stages.stages))]

    def _seconds(self, gathered: FeatureSet) -> tuple[float, ...]:
        """Seconds for one photo up to each stage: the whole is measured, its shares are torch's."""
        choice = self._gatherer.choice
        engine = verified_name(choice.spec)
        known = engine and kept_times(choice.trunk_key, engine)
        if known:
            return known
        step = max(1, len(gathered.paths) // TIMED)
        whole = self._gatherer.measured(gathered.paths[::step][:TIMED])
        times = tuple(whole * share for share in shares(self._stages.cut.trunk, self._image))
        if engine:
            keep_times(choice.trunk_key, engine, times)
        return times
