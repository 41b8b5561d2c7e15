"""A saved classifier that answers without torch, where its trunk has been compiled before.

Importing torch takes longer than anything else about the prediction of one photo. A capsule says
what its trunk computes and which layers follow it; where this machine has that trunk converted, and
has trusted an engine with it, nothing else is needed, and nothing else of the capsule is read.

A few photos want another graph than the many that an engine is trusted with. Each graph has to give
the answers to the capsule's golden images first; that is remembered beside the trunk.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.capsule.format import INT8_LOGITS, CapsuleContents, read_answering
from budwood.data.deep_images import extents_of, misfit_notes
from budwood.evaluation.held_out_statistics import Answers, HeldOutStatistics, statistics_in
from budwood.features.engine_trial import by_rehearsal, by_speed
from budwood.features.engines import Engine, EngineSpec, kind_of, preferred_specs, verified_name
from budwood.features.extraction import Unreadable, counted, decoded, extract, identify
from budwood.features.int8 import Calibration
from budwood.features.store import RowStore, maker_key, store_folder
from budwood.features.trunks import TrunkRef, is_verified, note_verified, trunk_key
from budwood.features.verification import TOLERANCE, spread_error
from budwood.images.contents import CONTENTS
from budwood.images.decode import Oddities
from budwood.images.preprocessing import PIXELS, Preprocessing
from budwood.models.info import RANDOM_WEIGHTS
from budwood.reporter import SILENT, Reporter

FEW = 16
"""Photos up to which all cores work on one batch; of more, batches are under way side by side."""


@dataclass(frozen=True)
class CompiledClassifier:
    """A classifier whose trunk is compiled and whose head is a few matrices."""

    class_names: tuple[str, ...]
    warning: str | None
    """What must be said with every result."""
    preprocessing: Preprocessing
    engine: Engine
    chain: tuple[tuple[str, str], ...]
    layers: Mapping[str, NDArray[np.float32]]
    """Weights and biases of the chain, by name."""
    statistics_: HeldOutStatistics | None = None
    store: RowStore | None = None
    """Rows that need not be computed; None where there are none, or but a few are asked for."""
    reporter: Reporter = SILENT

    def answers(self, paths: Sequence[Path]) -> Answers:
        """As `Classifier.answers`."""
        for note in misfit_notes(self.preprocessing.depth, extents_of(paths).values()):
            self.reporter.note(note)
        stored = self._stored(paths)
        missing = [path for path in paths if path not in stored]
        unreadable: dict[Path, str] = {}
        logits = [np.empty((0, len(self.class_names)), np.float32)]
        ood = [np.empty(0, np.bool_)]
        detector = None if self.statistics_ is None else self.statistics_.ood_detector

        def answer(rows: NDArray[Any]) -> None:
            logits.append(self.head(rows))
            if detector is not None:
                ood.append(detector.is_ood(rows))

        if stored and self.store is not None:
            answer(self.store.at(self.store.locate(list(stored.values()))).astype(np.float32))
        odd = Oddities()
        images = decoded(missing, self.preprocessing, contents=CONTENTS, odd=odd)
        with closing(extract(images, self.engine)) as results:
            for result in counted(results, len(missing), self.reporter):
                if isinstance(result, Unreadable):
                    unreadable[result.path] = result.reason
                else:
                    answer(result.rows[0])
        for line in odd.lines():
            self.reporter.note(line)
        computed = iter(range(len(stored), len(paths)))
        place = {path: i for i, path in enumerate(stored)}
        order = [
            place[path] if path in place else next(computed)
            for path in paths
            if path not in unreadable
        ]
        found = None if detector is None else np.concatenate(ood)[order]
        return Answers(np.concatenate(logits)[order], found, unreadable)

    def _stored(self, paths: Sequence[Path]) -> dict[Path, bytes]:
        """Those of the photos whose rows the store has, with their digests."""
        if self.store is None:
            return {}
        digests, _ = identify(paths)
        found = {path: image for path, image in digests.items() if image in self.store}
        CONTENTS.let_go(found)  # the others are decoded
        return found

    def head(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The chain's answer to rows `n d`."""
        for kind, name in self.chain:
            if kind == "relu":
                rows = np.maximum(rows, 0)
            else:
                rows = rows @ self.layers[f"{name}.weight"].T + self.layers.get(f"{name}.bias", 0)
        return rows


def compiled_classifier(
    path: Path, images: int, reporter: Reporter = SILENT
) -> CompiledClassifier | None:
    """The classifier in a capsule, or in the folder of a run, without torch.

    None where that cannot be: the graft is no chain of layers, this machine has not compiled the
    trunk, no engine was trusted with it, or the capsule is not one that can be read like this;
    `ImageClassifier.load` then does it, or says what is wrong.
    """
    contents = read_answering(path)
    if contents is None or not contents.about.get("trunk"):
        return None
    about, tensors = contents.about, contents.tensors
    trunk = TrunkRef.from_json(about["trunk"])
    preprocessing = Preprocessing.from_json(about["preprocessing"])
    shape = (*preprocessing.size, len(preprocessing.mean))
    key = trunk_key(trunk.keys, shape)
    specs = preferred_specs("auto", "cpu")
    if about.get("int8"):
        calibration = Calibration((), about["int8"])
        key, specs = calibration.trunk_key(key), [calibration.spec]
    verified = [spec for spec in specs if is_verified(key, verified_name(spec))]
    if not verified:
        return None
    spec = by_speed(key, by_rehearsal(verified))[0]
    few = max(1, images) if images <= FEW else None
    engine = kind_of(spec).kept(key, spec, few)
    if engine is None:
        return None
    found = CompiledClassifier(
        class_names=tuple(about["classes"]),
        warning=RANDOM_WEIGHTS if about["origin"]["weights"] == "none" else None,
        preprocessing=preprocessing,
        engine=engine,
        chain=trunk.chain,
        layers=tensors,
        statistics_=statistics_in(about, tensors),
        store=None if few else _store(trunk, preprocessing, spec),
        reporter=reporter,
    )
    graph = f"{verified_name(spec)}, {engine.batch} at a time{'' if few else ', in turns'}"
    if is_verified(key, graph):
        return found
    error = _golden_error(found, contents)
    tolerance = TOLERANCE if about.get("int8") else about["tolerances"][spec.precision]
    if error <= tolerance:
        note_verified(key, graph)
        return found
    reporter.note(
        f"{spec} without torch disagrees with the golden images of {path} (error {error:.3f} of "
        f"the spread, tolerance {tolerance:g}); it runs as it was verified."
    )
    usual = None if few is None else kind_of(spec).kept(key, spec, None)
    return None if usual is None else replace(found, engine=usual)


def _store(trunk: TrunkRef, preprocessing: Preprocessing, spec: EngineSpec) -> RowStore | None:
    """The rows that this engine has made of photos, if there are any."""
    maker = maker_key(trunk.keys[0], preprocessing.to_json() | {"pixels": PIXELS}, spec.key)
    return RowStore(maker, {}) if (store_folder() / maker).is_dir() else None


def _golden_error(found: CompiledClassifier, contents: CapsuleContents) -> float:
    """How far its answers to the golden images are from those that the capsule holds, as a share of
    their spread."""
    golden = contents.golden
    if contents.about.get("int8"):
        expected = contents.tensors[INT8_LOGITS]
    else:
        expected = np.array([one.logits for one in golden], np.float32)
    pixels = np.stack([found.preprocessing.pixels(one.image) for one in golden])
    return spread_error(expected, found.head(found.engine.run(pixels)[0]))
