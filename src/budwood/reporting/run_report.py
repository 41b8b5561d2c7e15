"""From a run and its classifier to all that a report tells of it.

The command that repeats a run.

The drawing of a network, made part of a page.

What a training leaves behind for people: the list of its photos, and the first page.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.capsule.pack import installed_versions
from budwood.data.folder import ImageFolder
from budwood.drawing.network_drawing import draw
from budwood.errors import BudwoodError, ConfigError
from budwood.evaluation.calibration import Reliability, reliability, softmax
from budwood.evaluation.label_errors import held_out_opinions
from budwood.evaluation.metrics import Evaluation, evaluate_logits
from budwood.features.gathering import FeatureSet
from budwood.features.rows import LiveRows, RowSubset
from budwood.fields import option_name, settings_of
from budwood.image_classifier import ImageClassifier
from budwood.learning.fitting import data_fingerprint
from budwood.reporting.pages import CARD, REPORT, write_pages
from budwood.reporting.pictures import maps_of, thumbnails
from budwood.reporting.records import (
    PHOTOS,
    ListedImage,
    RunRecord,
    groups_of,
    listed,
    write_photos,
)
from budwood.reporting.report_data import (
    CLASSES,
    Cell,
    CurveFeatures,
    DataIssue,
    Growth,
    Picture,
    PredictedImages,
    ReportData,
    equal_photos,
    growth_of,
    in_rows,
    photos_of_cells,
    probably_wrong,
    shown_places,
    small_classes,
    taught,
    told_growth,
)
from budwood.reporting.words import words_of
from budwood.settings import Settings

_NOT_REPEATED = ("out", "report")


def command_of(settings: Settings) -> str:
    """What to type to do the same again.

    Example:
        >>> from pathlib import Path
        >>> steps = (("unfreeze", "layer4*"),)
        >>> command_of(Settings(data=Path("photos"), head="mlp:8", surgery=steps))
        "budwood train photos --head mlp:8 --unfreeze 'layer4*'"
    """
    words = ["budwood", "train", str(settings.data)]
    named_by_recipe = ("model",) if settings.recipe and settings.graft else ()
    for name, each in settings_of(type(settings)).items():
        value = getattr(settings, name)
        is_option = each.has_option and not each.parts and name not in _NOT_REPEATED
        if is_option and value != each.default and name not in named_by_recipe:
            words += [option_name(name)] if value is True else [option_name(name), str(value)]
    for action, pattern in settings.surgery:
        words += [f"--{action}", pattern]
    return shlex.join(words)


def drawn(network: nn.Module) -> str | None:
    """The network as an SVG element without a style sheet of its own; None if it cannot be drawn.

    The page has its rules: see `styling.py`.
    """
    try:
        svg = draw(network).svg
    except BudwoodError:  # the page says that its code cannot be followed
        return None
    svg = re.sub(r"<style>.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<rect class="page"[^>]*/>', "", svg, count=1)
    return svg.replace("<svg ", '<svg class="drawing" ', 1).replace(' role="img"', "", 1)


WORST = 12
"""Photos in each list of the worst."""
MAPPED = 8
"""Photos of each list whose maps are shown."""


def facts_of(
    record: RunRecord, model: ImageClassifier, gathered: FeatureSet, *, is_full: bool
) -> ReportData:
    """What a report tells of a run.

    Args:
        record: The run.
        model: Its classifier, fitted or loaded.
        gathered: Rows for judging of the run's photos that are still there.
        is_full: False leaves out what takes seconds: maps, learning curve, probably wrong labels.
    """
    look = _Look(record, model, gathered, is_full)
    wrong, unsure = look.worst()
    layer, maps = look.maps([*wrong[:MAPPED], *unsure[:MAPPED]])
    growth, faults = look.growth(), look.faults()
    places = shown_places(record.confusion)
    shown = {} if look.seen is None else photos_of_cells(places, look.seen)
    of_cells = {place: look.pictures(shown.get(place, ())) for place in places}
    shown_at_all = (wrong, unsure, *of_cells.values(), *(fault.photos for fault in faults))
    small = thumbnails(
        (Path(photo.path) for photos in shown_at_all for photo in photos),
        model.preprocessing.depth,
    )

    def finished(photos: Sequence[Picture]) -> tuple[Picture, ...]:
        return tuple(
            replace(
                photo,
                path=record.shown(photo.path),
                thumbnail=small.get(Path(photo.path)),
                map=maps.get(Path(photo.path)),
            )
            for photo in photos
        )

    names, k = model.class_names, len(model.class_names)
    cells = [
        Cell(names[i], names[j], record.confusion[i][j], finished(of_cells[i, j]))
        for i, j in places
    ]
    return ReportData(
        run=str(record.folder),
        request=record.request,
        result=record.result,
        command=command_of(record.request),
        versions=record.versions,
        fingerprint=record.fingerprint,
        preprocessing=str(model.preprocessing),
        drawing=drawn(model.network_),
        layers=_trained(model.network_),
        cells=in_rows(cells, k) if cells and k <= CLASSES else (),
        confusions=tuple(cells) if k > CLASSES else (),
        wrong=finished(wrong),
        unsure=finished(unsure),
        layer=layer,
        reliability=look.reliability(),
        growth=growth,
        found=tuple(replace(fault, photos=finished(fault.photos)) for fault in faults),
        small=small_classes(record.photos, names) if record.photos else {},
        missing=look.missing,
        listed=len(record.photos),
        gaps=look.gaps,
    )


class _Look:
    """One run while it is looked at; `gaps` fills with the reasons why something is not there."""

    def __init__(
        self, record: RunRecord, model: ImageClassifier, gathered: FeatureSet, is_full: bool
    ) -> None:
        self.record, self.model, self.gathered, self.is_full = record, model, gathered, is_full
        self.gaps: dict[str, str] = {}
        known = {photo.path: photo for photo in record.photos}
        self.here = [known[path.absolute()] for path in gathered.paths]
        gone = known.keys() - {photo.path for photo in self.here}
        self.missing = tuple(sorted(record.shown(path) for path in gone))
        if not known:
            self.gaps["photos"] = "photos.unknown"
        self.gone = {known[path].split for path in gone}
        """Splits that photos are missing from."""
        self.seen, self.evaluation = self._test()
        self.taught = self._taught()

    def _test(self) -> tuple[PredictedImages | None, Evaluation | None]:
        """How the test photos are answered now."""
        if self.record.result["test"] is None:
            self.gaps["test"] = "test.none"
            return None, None
        rows, photos = self._split("test")
        if not photos:
            self.gaps["cells"] = "photos.moved"
            return None, None
        if isinstance(self.gathered.rows, LiveRows) and not self.is_full:
            self.gaps["cells"] = "later"
            return None, None
        logits, labels = self.model.plan.logits(rows) / self.model.temperature, self._labels(photos)
        paths = tuple(photo.path for photo in photos)
        seen = PredictedImages(paths, labels, softmax(logits.numpy()), groups_of(photos))
        if "test" in self.gone:
            self.gaps["cells"] = "photos.some moved"
            return seen, None
        evaluation = evaluate_logits(
            logits,
            torch.from_numpy(labels),
            self.model.class_names,
            paths,
            WORST,
            groups_of(photos),
        )
        if evaluation.confusion != self.record.confusion:
            self.gaps["cells"] = "answers.changed"
        return seen, evaluation

    def pictures(self, positions: Sequence[int]) -> tuple[Picture, ...]:
        """Test photos by position."""
        if self.seen is None:
            return ()
        names = self.model.class_names
        taken = self.seen.predicted
        return tuple(
            Picture(
                str(self.seen.paths[i]),
                names[self.seen.labels[i]],
                names[taken[i]],
                float(self.seen.probabilities[i, taken[i]]),
            )
            for i in positions
        )

    def worst(self) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
        """The most wrong and the most unsure photos: as they are now, else as the run wrote it."""
        test = self.record.result["test"]
        if test is None:
            return (), ()
        if self.evaluation is not None:
            test = self.evaluation.to_json()
        wrong, unsure = (
            tuple(
                Picture(str(m["path"]), m["label"], m["predicted"], m["probability"])
                for m in test[name]
            )
            for name in ("most_wrong", "most_unsure")
        )
        return wrong, unsure

    def maps(self, photos: Sequence[Picture]) -> tuple[str | None, dict[Path, str]]:
        """Where the network looked on some photos, and at which layer."""
        there = [photo for photo in photos if Path(photo.path).is_file()]
        if not self.is_full:
            self.gaps["maps"] = "later"
        if not self.is_full or not there:
            return None, {}
        classes = [self.model.class_names.index(photo.predicted or "") for photo in there]
        try:
            return maps_of(self.model, [Path(photo.path) for photo in there], classes)
        except ConfigError:  # no layer of it keeps places apart
            self.gaps["maps"] = "maps.none"
            return None, {}

    def reliability(self) -> Reliability | None:
        """How far its probabilities can be taken at their word; by the run itself if it says."""
        told = self.record.result.get("calibration")
        if told is not None and "ece_if_perfect" in told:  # runs of 0.1.0 have no band
            return Reliability.from_json(told)
        if self.evaluation is None or self.seen is None:
            self.gaps["reliability"] = next(
                (self.gaps[name] for name in ("test", "cells") if name in self.gaps), "later"
            )
            return None
        return reliability(self.seen.probabilities, self.seen.labels, self.seen.groups)

    def growth(self) -> Growth | None:
        """What more photos would bring."""
        told = self.record.result.get("learning_curve")
        if told is not None:
            return told_growth(told, self.model.plan.layer is None)
        if self.taught is None:
            self.gaps["growth"] = self.gaps["taught"]
            return None
        found = growth_of(self.taught, self.record.request.seed)
        if found is None:
            self.gaps["growth"] = "growth.tiny"
        return found

    def faults(self) -> list[DataIssue]:
        """What is wrong with the photos, as far as the run's own rows tell; labels are judged as by
        `budwood audit`."""
        found = equal_photos(self.here, self.gathered.photos)
        if not self.is_full:
            self.gaps["labels"] = "later"
        elif not self.here:
            self.gaps["labels"] = "growth.moved"
        elif not self.model.plan.has_features:
            self.gaps["labels"] = "growth.unfrozen"
        else:
            labels = self._labels(self.here)
            probabilities = held_out_opinions(
                self.model.head_features(self.gathered),
                labels,
                groups_of(self.here),
                len(self.model.class_names),
                self.record.request.seed,
            )
            if probabilities is not None:
                paths = [photo.path for photo in self.here]
                found += probably_wrong(paths, labels, self.model.class_names, probabilities)
        return found

    def _taught(self) -> CurveFeatures | None:
        """The training photos' features, if they are the same photos as ever."""
        rows, photos = self._split("train")
        names = [photo.label for photo in photos]
        if not self.is_full:
            self.gaps["taught"] = "later"
        elif not photos or "train" in self.gone:
            self.gaps["taught"] = "growth.moved"
        elif not self.model.plan.has_features:
            self.gaps["taught"] = "growth.unfrozen"
        elif data_fingerprint(rows.photos, names) != self.record.fingerprint:
            self.gaps["taught"] = "photos.changed"
        else:
            probe = self.record.result["probe"]
            penalty = None if probe is None else probe["l2_strength"]
            seed = self.record.request.seed
            return taught(self.model, rows, self._labels(photos), groups_of(photos), penalty, seed)
        return None

    def _split(self, name: str) -> tuple[FeatureSet, list[ListedImage]]:
        """The rows and the photos of a split that are there."""
        places = [i for i, photo in enumerate(self.here) if photo.split == name]
        some = replace(
            self.gathered,
            rows=RowSubset(self.gathered.rows, places),
            paths=tuple(self.gathered.paths[i] for i in places),
            photos=tuple(self.gathered.photos[i] for i in places),
        )
        return some, [self.here[i] for i in places]

    def _labels(self, photos: Sequence[ListedImage]) -> NDArray[np.int64]:
        """The classes of photos, as numbers."""
        places = {name: i for i, name in enumerate(self.model.class_names)}
        return np.array([places[photo.label] for photo in photos], np.int64)


def _trained(network: nn.Module) -> tuple[str, ...]:
    """The layers whose parameters train, by name."""
    names = [name for name, p in network.named_parameters() if p.requires_grad]
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def remove_pages(folder: Path) -> None:
    """Remove the pages of an earlier run that is being replaced: they tell of another
    classifier."""
    for name in (REPORT, CARD):
        (folder / name).unlink(missing_ok=True)


def leave_page(
    folder: Path,
    request: Settings,
    result: Mapping[str, Any],
    photos: ImageFolder,
    model: ImageClassifier,
    gathered: FeatureSet,
) -> None:
    """Write the list of a run's photos and, if it is wanted, the quick part of its report.

    Args:
        folder: The run's.
        request: What was asked for.
        result: As it stands in `result.json`.
        photos: Those that were used.
        model: Fitted to them.
        gathered: Their rows for judging.
    """
    used = listed(photos)
    write_photos(folder / PHOTOS, used)
    if not request.report:
        return
    fingerprint = None if model.fit_ is None else model.fit_.fingerprint
    record = RunRecord(folder, request, result, used, installed_versions(), fingerprint)
    write_pages(facts_of(record, model, gathered, is_full=False), folder, words_of("en"))
