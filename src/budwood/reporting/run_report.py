"""From a run and its classifier to its report."""

import re
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
from budwood.evaluation.learning_curve import learning_curve
from budwood.evaluation.metrics import Evaluation, evaluate_logits
from budwood.features.gathering import FeatureSet
from budwood.features.rows import LiveRows, RowSubset
from budwood.image_classifier import ImageClassifier
from budwood.learning.fitting import data_fingerprint
from budwood.learning.probe import Probe, fit_probe
from budwood.reporting.pages import CARD, REPORT, write_pages
from budwood.reporting.pictures import maps_of, thumbnails
from budwood.reporting.records import (
    IMAGES,
    ListedImage,
    RunRecord,
    groups_of,
    listed,
    write_images,
)
from budwood.reporting.report_data import (
    CLASSES,
    Cell,
    DataIssue,
    Picture,
    PredictedImages,
    ReportData,
    equal_images,
    images_of_cells,
    probably_wrong,
    shown_places,
)
from budwood.reporting.words import words_of
from budwood.settings import Settings

WORST = 12
"""Photos in each list of the worst."""
MAPPED = 8
"""Photos of each list whose maps are shown."""


def drawn(network: nn.Module) -> str | None:
    """The network as an SVG element without a style sheet of its own; None if it cannot be drawn.
    The page has its rules: see `page_style`.
    """
    try:
        svg = draw(network).svg
    except BudwoodError:  # the page says that its code cannot be followed
        return None
    svg = re.sub(r"<style>.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<rect class="page"[^>]*/>', "", svg, count=1)
    return svg.replace("<svg ", '<svg class="drawing" ', 1).replace(' role="img"', "", 1)


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
    issues = look.issues()
    places = shown_places(record.confusion)
    shown = {} if look.seen is None else images_of_cells(places, look.seen)
    of_cells = {place: look.pictures(shown.get(place, ())) for place in places}
    all_shown = (wrong, unsure, *of_cells.values(), *(issue.images for issue in issues))
    small = thumbnails(
        (Path(image.path) for images in all_shown for image in images), model.preprocessing.depth
    )

    def finished(images: Sequence[Picture]) -> tuple[Picture, ...]:
        return tuple(
            replace(
                image,
                path=record.shown(image.path),
                thumbnail=small.get(Path(image.path)),
                map=maps.get(Path(image.path)),
            )
            for image in images
        )

    names, k = model.class_names, len(record.confusion)
    cells = [
        Cell(names[i], names[j], record.confusion[i][j], finished(of_cells[i, j]))
        for i, j in places
    ]
    return ReportData(
        record,
        str(model.preprocessing),
        drawing=drawn(model.network_),
        layers=_trained(model.network_),
        cells=tuple(tuple(cells[i * k : (i + 1) * k]) for i in range(k)) if k <= CLASSES else (),
        confusions=tuple(cells) if k > CLASSES else (),
        wrong=finished(wrong),
        unsure=finished(unsure),
        layer=layer,
        reliability=look.reliability(),
        growth=look.growth(),
        is_growth_of_stand_in=model.plan.layer is None,
        found=tuple(replace(issue, images=finished(issue.images)) for issue in issues),
        missing=look.missing,
        gaps=look.gaps,
    )


class _Look:
    """One run while it is looked at; `gaps` fills with the reasons why something is not there."""

    def __init__(
        self, record: RunRecord, model: ImageClassifier, gathered: FeatureSet, is_full: bool
    ) -> None:
        self.record, self.model, self.gathered, self.is_full = record, model, gathered, is_full
        self.gaps: dict[str, str] = {}
        known = {image.path: image for image in record.images}
        self.here = [known[path.absolute()] for path in gathered.paths]
        gone = known.keys() - {image.path for image in self.here}
        self.missing = tuple(sorted(record.shown(path) for path in gone))
        if not known:
            self.gaps["photos"] = "photos.unknown"
        self.gone = {known[path].split for path in gone}
        """Splits that photos are missing from."""
        self.seen, self.evaluation = self._test()
        self.train = self._train()

    def _test(self) -> tuple[PredictedImages | None, Evaluation | None]:
        """How the test photos are answered now."""
        if self.record.result["test"] is None:
            self.gaps["test"] = "test.none"
            return None, None
        rows, images = self._split("test")
        if not images:
            self.gaps["cells"] = "photos.moved"
            return None, None
        if isinstance(self.gathered.rows, LiveRows) and not self.is_full:
            self.gaps["cells"] = "later"
            return None, None
        logits, labels = self.model.plan.logits(rows) / self.model.temperature, self._labels(images)
        paths = tuple(image.path for image in images)
        seen = PredictedImages(paths, labels, softmax(logits.numpy()), groups_of(images))
        if "test" in self.gone:
            self.gaps["cells"] = "photos.some moved"
            return seen, None
        classes = self.model.class_names
        evaluation = evaluate_logits(
            logits, torch.from_numpy(labels), classes, paths, WORST, seen.groups
        )
        if evaluation.confusion != self.record.confusion:
            self.gaps["cells"] = "answers.changed"
        return seen, evaluation

    def pictures(self, positions: Sequence[int]) -> tuple[Picture, ...]:
        """Test photos by position."""
        if self.seen is None:
            return ()
        names, seen, predicted = self.model.class_names, self.seen, self.seen.predicted
        return tuple(
            Picture(
                str(seen.paths[i]),
                names[seen.labels[i]],
                names[predicted[i]],
                float(seen.probabilities[i, predicted[i]]),
            )
            for i in positions
        )

    def worst(self) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
        """The most wrong and the most unsure photos: as they are now, else as the run wrote it."""
        test = self.record.result["test"] or {"most_wrong": (), "most_unsure": ()}
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

    def maps(self, images: Sequence[Picture]) -> tuple[str | None, dict[Path, str]]:
        """Where the network looked on some photos, and at which layer."""
        there = [image for image in images if Path(image.path).is_file()]
        if not self.is_full:
            self.gaps["maps"] = "later"
        if not self.is_full or not there:
            return None, {}
        classes = [self.model.class_names.index(image.predicted or "") for image in there]
        try:
            return maps_of(self.model, [Path(image.path) for image in there], classes)
        except ConfigError:  # no layer of it keeps places apart
            self.gaps["maps"] = "maps.none"
            return None, {}

    def reliability(self) -> Reliability | None:
        """The calibration that the run wrote down, else that of its answers now."""
        told = self.record.result.get("calibration")
        if told is not None and "ece_if_perfect" in told:  # runs of 0.1.0 have no band
            return Reliability.from_json(told)
        if self.evaluation is None or self.seen is None:
            self.gaps["reliability"] = next(
                (self.gaps[name] for name in ("test", "cells") if name in self.gaps), "later"
            )
            return None
        return reliability(self.seen.probabilities, self.seen.labels, self.seen.groups)

    def growth(self) -> Mapping[str, Any] | None:
        """The learning curve that the run wrote down, else a new one of a linear head."""
        curve: Mapping[str, Any] | None = self.record.result.get("learning_curve")
        if curve is None:
            if self.train is None:
                self.gaps["growth"] = self.gaps["taught"]
                return None
            curve = self._learning_curve(*self.train)
        if len(curve["points"]) < 2:
            self.gaps["growth"] = "growth.tiny"
            return None
        return curve

    def _learning_curve(self, rows: FeatureSet, images: list[ListedImage]) -> dict[str, Any]:
        """Of a linear head with the run's own L2 strength, if its head is one."""
        seed, classes = self.record.request.seed, len(self.model.class_names)
        features = torch.from_numpy(self.model.head_features(rows))
        labels = torch.from_numpy(self._labels(images))
        probe = self.record.result["probe"]
        if probe is not None and self.model.plan.layer is not None:
            l2_strength = probe["l2_strength"]
        else:
            groups = groups_of(images)
            l2_strength = fit_probe(
                features, labels, classes, Probe(seed=seed), groups=groups
            ).l2_strength
        return learning_curve(
            features, labels, classes, l2_strength=l2_strength, seed=seed
        ).to_json()

    def issues(self) -> list[DataIssue]:
        """What is wrong with the photos, as far as the run's own rows tell; labels are judged as by
        `budwood audit`."""
        found = equal_images(self.here, self.gathered.images)
        gap = self._no_features(bool(self.here))
        if gap is not None:
            self.gaps["labels"] = gap
            return found
        labels, classes = self._labels(self.here), self.model.class_names
        probabilities = held_out_opinions(
            self.model.head_features(self.gathered),
            labels,
            groups_of(self.here),
            len(classes),
            self.record.request.seed,
        )
        if probabilities is not None:
            paths = [image.path for image in self.here]
            found += probably_wrong(paths, labels, classes, probabilities)
        return found

    def _train(self) -> tuple[FeatureSet, list[ListedImage]] | None:
        """The training photos and their rows, if they are the same photos as ever."""
        rows, images = self._split("train")
        gap = self._no_features(bool(images) and "train" not in self.gone)
        labels = [image.label for image in images]
        if gap is None and data_fingerprint(rows.images, labels) != self.record.fingerprint:
            gap = "photos.changed"
        if gap is not None:
            self.gaps["taught"] = gap
            return None
        return rows, images

    def _no_features(self, are_there: bool) -> str | None:
        """Why there are no features of photos to fit a head to; None if there are."""
        if not self.is_full:
            return "later"
        if not are_there:
            return "growth.moved"
        return None if self.model.plan.has_features else "growth.unfrozen"

    def _split(self, name: str) -> tuple[FeatureSet, list[ListedImage]]:
        """The rows and the photos of a split that are there."""
        places = [i for i, image in enumerate(self.here) if image.split == name]
        some = replace(
            self.gathered,
            rows=RowSubset(self.gathered.rows, places),
            paths=tuple(self.gathered.paths[i] for i in places),
            images=tuple(self.gathered.images[i] for i in places),
        )
        return some, [self.here[i] for i in places]

    def _labels(self, images: Sequence[ListedImage]) -> NDArray[np.int64]:
        """The classes of photos, as numbers."""
        places = {name: i for i, name in enumerate(self.model.class_names)}
        return np.array([places[image.label] for image in images], np.int64)


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
    images: ImageFolder,
    model: ImageClassifier,
    gathered: FeatureSet,
) -> None:
    """Write the list of a run's photos and, if it is wanted, the quick part of its report.

    Args:
        folder: The run's.
        request: What was asked for.
        result: As it stands in `result.json`.
        images: Those that were used.
        model: Fitted to them.
        gathered: Their rows for judging.
    """
    used = listed(images)
    write_images(folder / IMAGES, used)
    if not request.report:
        return
    fingerprint = None if model.fit_ is None else model.fit_.fingerprint
    record = RunRecord(folder, request, result, used, installed_versions(), fingerprint)
    write_pages(facts_of(record, model, gathered, is_full=False), folder, words_of("en"))
