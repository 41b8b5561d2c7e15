"""How a network is trained and judged: a cut for each mode, and where its rows come from."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from budwood.arrays import Pixels
from budwood.data.splits import Split
from budwood.errors import EngineError
from budwood.features.engine_choice import frontier_keys
from budwood.features.engines import EngineSpec, build_engine, verified_name
from budwood.features.gathering import Extraction, FeatureExtractor, FeatureSet
from budwood.features.int8 import (
    CALIBRATION,
    Calibration,
    calibrated_engine,
    has_nncf,
    keep_speed,
    kept_speed,
)
from budwood.features.openvino import model_bytes
from budwood.features.rows import RowsInMemory, RowSource, RowSubset
from budwood.features.torch_engine import TorchEngine
from budwood.features.trunks import TrunkRef, note_verified, notes_of, remember, trunk_key
from budwood.images.preprocessing import Preprocessing
from budwood.learning.int8_trial import (
    LONG_PASS,
    MOST,
    SAMPLE,
    SHARE,
    Trial,
    pooled,
    trial_sample,
    try_int8,
)
from budwood.learning.probe import head_rows, probed_layer
from budwood.learning.streaming import main_output, predict_logits, top1
from budwood.models.info import info
from budwood.models.prepared import Prepared
from budwood.reporter import Reporter
from budwood.surgery.cutting import Cut, cut
from budwood.surgery.fingerprints import frozen_tensors
from budwood.surgery.flow import chain_of
from budwood.tensors import Features, Labels, Logits
from budwood.threads import TRACING, settle_torch

TIMED = 32
"""Photos that two engines are timed on."""
UNASKED = "int8.json"
"""Beside a trunk: the trials of int8 that were made unasked and accepted, by calibration."""
ROUNDS = 3
"""Times that each is timed, in turns; the least counts, since machines are shared."""


@dataclass(frozen=True)
class Grafts:
    """A graft in the forms of both modes, which share their layers."""

    training: nn.Module
    judging: nn.Module
    row_bytes: int
    """Bytes of one photo's rows that it is judged by."""

    def logits(self, rows: RowSource) -> Logits:
        """What it answers to photos, from the rows that they are judged by."""
        return predict_logits(self.judging, rows, self.row_bytes)


class Plan:
    """The cuts of one network in its present state of freezing.

    A network may differ between the modes (GoogLeNet's auxiliary outputs exist in train mode
    only). Where the frontier of eval mode is part of that of train mode, one trunk makes both.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        extraction: Extraction,
        *,
        logistic: bool,
        reporter: Reporter,
    ) -> None:
        """Trace and cut a network that is frozen as it should be; nothing runs yet.

        With `logistic`, a linear head that trains alone is fitted by logistic regression.
        """
        settle_torch()
        prepared = Prepared(network, preprocessing)
        self.network = network
        self._preprocessing = preprocessing
        self._made_for = _condition(network)
        with TRACING:  # a network is in one mode at a time
            self._judged = cut(prepared.eval())
            shapes = [tensor.shape for tensor in self._judged.frontier]
            self.layer = probed_layer(self._judged.graft, shapes) if logistic else None
            """The layer fitted by logistic regression; None if the graft is trained."""
            try:
                self._trained = self._judged if self.layer is not None else cut(prepared.train())
            finally:
                prepared.eval()
        for name, reason in (self._judged.opaque | self._trained.opaque).items():
            if name == "":
                reporter.note(f"The network is cut in front of its last module: {reason}.")
        if extraction.device != "cpu" and self.layer is None:
            reporter.note(
                f"Only what is frozen runs on {extraction.device}; what trains runs on the "
                "processor."
            )
        self._asked = extraction
        self.reporter = reporter
        self.trial: Trial | None = None
        """What a trial of int8 came to; None before it, and where int8 was not asked for."""
        self._tried_for: frozenset[Path] = frozenset()
        self._plain = self._sources(None)
        self._now = self._plain

    def is_current(self) -> bool:
        """True if the network has the layers and frozen tensors that it was cut with."""
        return self._made_for == _condition(self.network)

    @property
    def grafts(self) -> Grafts:
        """The part that trains."""
        return Grafts(self._trained.graft, self._judged.graft, self._judged.row_bytes)

    def copied_grafts(self) -> Grafts:
        """Copies of the graft with its present weights."""
        return copy.deepcopy(self.grafts)

    @property
    def frontier(self) -> str:
        """The tensors that are stored, for people."""
        return str(self._trained)

    @property
    def has_features(self) -> bool:
        """True if what is stored has passed a frozen layer: photos can be compared by it."""
        return next(self._judged.trunk.parameters(), None) is not None

    @property
    def trunk(self) -> TrunkRef | None:
        """The names by which the trunk is found; None if the graft is no chain of layers."""
        chain = chain_of(self._judged.graft)
        return None if chain is None else TrunkRef(frontier_keys(self._judged), chain)

    @property
    def spec(self) -> EngineSpec:
        """The engine that runs the trunk."""
        return self._now.judging.choice.spec

    @property
    def trunk_key(self) -> str:
        """The name of the judged trunk among the kept ones, in fp32 and bf16."""
        return self._plain.key

    @property
    def calibration(self) -> Calibration | None:
        """What the trunk's scales in int8 were taken from; None if it runs in bf16 or fp32."""
        return self._now.calibration

    def quantised_model(self) -> tuple[bytes, bytes]:
        """Graph and weights of the trunk in int8."""
        assert self.calibration is not None
        found = self.calibration.model or model_bytes(self._int8_key)
        if found is None:
            raise EngineError(
                "The trunk in int8 is not kept, so that the classifier cannot be saved with it.",
                next="Make room in BUDWOOD_HOME, or use --precision auto.",
            )
        return found

    def note_calibrated(self) -> None:
        """Remember that the trunk in int8 gives the answers that it should here."""
        assert self.calibration is not None
        note_verified(self._int8_key, verified_name(self.calibration.spec))

    @property
    def _int8_key(self) -> str:
        assert self.calibration is not None
        return self.calibration.trunk_key(self.trunk_key)

    def adopt(self, calibration: Calibration | None) -> None:
        """Run the trunk in int8 with scales that are given, or without."""
        self._now = self._plain if calibration is None else self._sources(calibration)

    def settle_precision(self, train: Split) -> Trial | None:
        """Try int8 on training photos, and use it if it is good enough.

        It is tried where it was asked for, and unasked where a long pass lies ahead; where most of
        these photos have rows in int8 from such a trial, they are used. A trial counts for the
        photos it was for, and for any part of them. Photos that cannot be read are passed over.
        """
        is_asked, is_open = (self._asked.precision == each for each in ("int8", "auto"))
        if not (is_asked or is_open) or self._asked.device != "cpu" or not self.has_features:
            return None
        if self.trial is not None and self._tried_for >= set(train.paths):
            return self.trial
        if is_open and self._found_again(train):
            return self.trial
        if is_open and not self._is_long(train):
            return None
        self._now = self._plain
        size = SAMPLE if is_asked else min(MOST, int(SHARE * len(train)))
        sample = trial_sample(torch.from_numpy(train.targets), size)
        before = self._plain.judging_rows([train.paths[i] for i in sample])
        readable = [i for i in sample if train.paths[i] not in before.unreadable]
        labels, groups = torch.from_numpy(train.targets[readable]), train.group_numbers
        chosen = trial_sample(labels, CALIBRATION)
        calibration = Calibration.of(
            [before.paths[i] for i in chosen],
            [before.images[i] for i in chosen],
            self._preprocessing.depth,
        )
        int8 = self._sources(calibration)
        after = int8.judging_rows(before.paths)
        self.trial = try_int8(
            self._tried(before),
            self._tried(after),
            labels,
            len(train.classes),
            named=before.engine.precision,
            speed=self._speed(calibration, int8.judging, before.engine.precision),
            groups=None if groups is None else groups[readable],
            was_asked_for=is_asked,
        )
        self._tried_for = frozenset(train.paths)
        if self.trial.accepted:
            self._now = int8
            if is_open:
                remember(self.trunk_key, UNASKED, calibration.key, asdict(self.trial))
        self.reporter.note(str(self.trial))
        return self.trial

    def _found_again(self, train: Split) -> bool:
        """Use int8 where most of these photos have rows of it, and as many as of anything else."""
        known = {
            key: Trial(**fields | {"interval": tuple(fields["interval"])})
            for key, fields in notes_of(self.trunk_key, UNASKED).items()
            if model_bytes(Calibration((), key).trunk_key(self.trunk_key))  # else it has no scales
        }
        if not known:
            return False
        stored = {
            key: self._sources(Calibration((), key)).judging.stored(train.paths) for key in known
        }
        most = max(stored, key=lambda key: stored[key])
        if stored[most] < max(self._plain.judging.stored(train.paths), len(train) // 2 + 1):
            return False
        self.adopt(Calibration((), most))
        self.trial, self._tried_for = known[most], frozenset(train.paths)
        self.reporter.note(str(self.trial))
        return True

    def _is_long(self, train: Split) -> bool:
        """True if so many photos have no rows yet that a trial of int8 is worth its time."""
        if len(train) < LONG_PASS or self._plain.judging.choice.spec.library != "openvino":
            return False
        return has_nncf() and len(train) - self._plain.judging.stored(train.paths) >= LONG_PASS

    def training_rows(self, paths: Sequence[Path]) -> FeatureSet:
        """The rows that the graft is trained on."""
        return self._now.training.gather(paths)

    def judging_rows(self, paths: Sequence[Path], *, keep: bool = True) -> FeatureSet:
        """The rows that the finished network is judged by, and predicts from."""
        return self._now.judging_rows(paths, keep)

    def features(self, gathered: FeatureSet) -> RowSource:
        """What that layer is fed with: one tensor `n d`."""
        assert self.layer is not None
        return head_rows(self._judged.graft, self.layer, gathered.rows, self._judged.row_bytes)

    def logits(self, gathered: FeatureSet) -> Logits:
        """What the network answers to photos, from their rows for judging."""
        return self.logits_of(gathered.rows)

    def logits_of(self, rows: RowSource) -> Logits:
        """The same, from the rows alone."""
        return self.grafts.logits(rows)

    def top1(self, gathered: FeatureSet, labels: Labels) -> float:
        """The share of photos that the network gets right, from their rows for judging."""
        return top1(self._judged.graft, gathered.rows, self._judged.row_bytes, labels)

    def answers(self, pixels: Pixels, spec: EngineSpec) -> Logits:
        """What the network answers to a few decoded photos through an engine, trusted or not."""
        trunk, key = self._judged.trunk, trunk_key(frontier_keys(self._judged), pixels.shape[1:])
        if spec.precision == "int8":
            assert self.calibration is not None
            source, settings = self.calibration, self._preprocessing
            engine = calibrated_engine(trunk, pixels[:1], key, source, settings)
        else:
            engine = build_engine(trunk, spec, pixels[:1], key)
        rows = tuple(torch.from_numpy(tensor) for tensor in engine.run(pixels))
        with torch.inference_mode():
            return main_output(self._judged.graft.eval()(rows)).float()

    def rows_exactly(self, pixels: Pixels) -> RowSource:
        """The rows of a few decoded photos, as fp32 torch computes them."""
        engine = TorchEngine(self._judged.trunk, EngineSpec("torch", "fp32"))
        parts = [engine.run(pixels[i : i + 4]) for i in range(0, len(pixels), 4)]
        tensors = (np.concatenate(of_batches) for of_batches in zip(*parts, strict=True))
        axes = tuple(tensor.feature_axis for tensor in self._judged.frontier)
        return RowsInMemory(tuple(map(torch.from_numpy, tensors)), axes)

    def answers_exactly(self, pixels: Pixels) -> Logits:
        """What the whole network answers in fp32 torch, a few photos at a time."""
        whole = TorchEngine(
            _AsTuple(Prepared(self.network.eval(), self._preprocessing)),
            EngineSpec("torch", "fp32"),
        )
        parts = [whole.run(pixels[i : i + 4])[0] for i in range(0, len(pixels), 4)]
        return torch.from_numpy(np.concatenate(parts))

    def _sources(self, calibration: Calibration | None) -> "_RowSources":
        origin = info(self.network).origin
        name = type(self.network).__name__ if origin is None else origin.architecture

        def extractor(of: Cut) -> FeatureExtractor:
            return FeatureExtractor(
                of, self._preprocessing, self._asked, self.reporter, calibration, name
            )

        needed, training = frontier_keys(self._judged), extractor(self._trained)
        known = training.choice.keys
        if needed == known:
            return _RowSources(training, training, calibration=calibration)
        if set(needed) <= set(known):
            places = [known.index(key) for key in needed]
            return _RowSources(training, training, places, calibration)
        return _RowSources(training, extractor(self._judged), calibration=calibration)

    def _tried(self, gathered: FeatureSet) -> Features:
        """What the probe of a trial is fed with."""
        if self.layer is None:
            return pooled(gathered.rows)
        rows = self.features(gathered)
        return rows.take(range(len(rows)))[0]

    def _speed(self, calibration: Calibration, int8: FeatureExtractor, reference: str) -> float:
        """Photos a second in int8 over those of the reference; measured once for a kept trunk."""
        key = calibration.trunk_key(int8.choice.trunk_key)
        speed = kept_speed(key, reference)
        if speed is None:
            images = calibration.paths[:TIMED]
            engines = (self._plain.judging, int8)
            rounds = [[engine.measured(images) for engine in engines] for _ in range(ROUNDS)]
            usual, fast = (min(seconds) for seconds in zip(*rounds, strict=True))
            speed = usual / fast
            keep_speed(key, reference, speed)
        return speed


@dataclass(frozen=True)
class _RowSources:
    """Where the rows of both modes come from."""

    training: FeatureExtractor
    judging: FeatureExtractor
    subset: list[int] | None = None
    """Which of its frontier tensors the judged network needs; None for all."""
    calibration: Calibration | None = None

    @property
    def key(self) -> str:
        """The name of the judged trunk among the kept ones."""
        return self.judging.choice.trunk_key

    def judging_rows(self, paths: Sequence[Path], keep: bool = True) -> FeatureSet:
        gathered = self.judging.gather(paths, keep=keep)
        if self.subset is None:
            return gathered
        places = range(len(gathered.rows))
        return replace(gathered, rows=RowSubset(gathered.rows, places, self.subset))


class _AsTuple(nn.Module):
    """A network whose output is a tuple, as a trunk's is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        return (main_output(self.network(pixels)),)


def state_of(network: nn.Module) -> object:
    """What a fit begins from: what a cut depends on, and every tensor with its edits so far."""
    tensors = (*network.parameters(), *network.buffers())
    return _condition(network), [_edits(tensor) for tensor in tensors]


def trainable_copy(network: nn.Module) -> nn.Module:
    """A copy to be trained: its frozen tensors are the network's own."""
    own = dict(network.named_parameters()) | dict(network.named_buffers(remove_duplicate=False))
    shared = {id(own[name]): own[name] for name in frozen_tensors(network)}
    return copy.deepcopy(network, shared)


def _edits(tensor: torch.Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


def _condition(network: nn.Module) -> object:
    """What a cut depends on: layers, preprocessing, and frozen tensors with their edits so far."""
    frozen = {name: _edits(tensor) for name, tensor in frozen_tensors(network).items()}
    parameters = [id(parameter) for parameter in network.parameters()]
    # Modules compare by identity, and are held here so that none of them can come back as another.
    return tuple(network.modules()), parameters, frozen, info(network).preprocessing
