"""A run: one training from a folder of photos to a folder with everything it gave."""

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from budwood.course.recipes import (
    ChapterComparison,
    Recipe,
    RunFigures,
    compared_with_chapter,
    load_recipe,
)
from budwood.data.folder import (
    ImageFolder,
    Split,
    leave_out_unreadable,
    load_folder,
    unreadable_lines,
)
from budwood.data.labels import Note, few_or_one
from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.evaluation.metrics import Evaluation
from budwood.evaluation.reliability import Assessment, Diagnostics
from budwood.features.engines import preferred_specs
from budwood.features.gathering import Extraction, FeatureSet
from budwood.fields import require_all, settings_of, unknown_keys
from budwood.files import CAPSULE, versioned, write_json
from budwood.image_classifier import ImageClassifier
from budwood.learning.fitting import Fit
from budwood.learning.int8_trial import Trial
from budwood.learning.kfold import require_folds
from budwood.learning.probe import Probe
from budwood.learning.training import Training
from budwood.models.info import info, set_depth
from budwood.models.receipts import Receipt
from budwood.reporter import SILENT, Reporter
from budwood.reporting.run_report import leave_page, remove_pages
from budwood.run_folders import (
    CONFIG,
    RUNS,
    is_inside,
    mark,
    new_folder,
    place_for,
    require_new,
    require_outside,
    require_writable,
    writing_to,
)
from budwood.settings import Algorithm, Settings
from budwood.tasks.preparing import prepared_network


@displayed
@dataclass(frozen=True)
class Run:
    """What a training gave."""

    folder: Path
    request: Settings
    weights: str
    images: ImageFolder
    gathered: FeatureSet
    fit: Fit
    algorithm: Algorithm
    """By what it was fitted, and why so."""
    evaluation: Evaluation | None
    parameters: tuple[int, int]
    """In all, and trained."""
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    """What is said beside accuracy."""
    chapter: ChapterComparison | None = None
    """Of a recipe, the comparison with the chapter."""
    receipt: Receipt | None = None
    """Of a file of weights, what of it was loaded."""
    int8: Trial | None = None
    """What the trial of int8 came to, where that was asked for."""
    warning: str | None = None
    """What must be said with the result."""
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object of `train --json`; see docs/json.md."""
        total, trainable = self.parameters
        probe = self.fit.probe
        return {
            "run": str(self.folder),
            "model": self.request.model,
            "weights": self.weights,
            "classes": list(self.images.classes),
            "precision": self.gathered.engine.precision,
            "engine": self.gathered.engine.library,
            "int8": self.int8 and self.int8.to_json(),
            "images": {
                "train": len(self.images.train),
                "val": len(self.images.val or ()),
                "test": len(self.images.test or ()),
                "unreadable": len(self.gathered.unreadable),
            },
            "parameters": {"total": total, "trainable": trainable},
            "fit": self.algorithm.to_json(),
            "epochs": list(self.fit.history),
            "probe": probe
            and {
                "l2_strength": probe.l2_strength,
                "C": 1 / probe.l2_strength,
                "loss": probe.loss,
                "cross_validated_top1": probe.cross_validated_top1,
                "candidates": list(probe.candidates),
            },
            "train": {"top1": self.fit.train_top1},
            "test": self.evaluation and self.evaluation.to_json(),
            **self.diagnostics.to_json(),
            "seconds": self.seconds,
            "store": {
                "hits": self.gathered.hits,
                "misses": self.gathered.misses,
                "bytes": self.gathered.bytes,
            },
            "frozen_unchanged": self.fit.frozen_unchanged,
            "notes": [str(note) for note in self.images.notes],
            "receipt": self.receipt and self.receipt.to_json(),
            "recipe": self.chapter and self.chapter.to_json(),
            "warning": self.warning,
        }

    def __str__(self) -> str:
        total, trainable = self.parameters
        steps = ", ".join(f"{name} {s:.1f} s" for name, s in self.seconds.items())
        frozen = "; the frozen ones are proven unchanged" if trainable < total else ""
        kind = "random" if self.weights == "none" else self.weights
        parts = [
            f"{self.request.model} ({kind} weights): {trainable:,} of {total:,} parameters "
            f"trained on {len(self.images.train)} photos of {len(self.images.classes)} classes"
            f"{frozen}.",
            str(self.evaluation) if self.evaluation else "There are no test photos.",
            *self.diagnostics.lines(),
            *([self.warning] if self.warning else []),
            *([str(self.chapter)] if self.chapter else []),
            f"Time: {steps}.\nSaved: {self.folder / CAPSULE}\n"
            f"Next: budwood predict {shlex.quote(str(self.folder))} PHOTO",
        ]
        return "\n\n".join(parts)


def train(
    data: Path | str,
    *,
    recipe: str | None = None,
    reporter: Reporter = SILENT,
    **settings: Any,
) -> Run:
    """Train a classifier on a folder of photos, judge it, save it: what `budwood train` does.

    Args:
        data: Folder or CSV file of photos.
        recipe: Name or file of a recipe; other settings overrule it.
        reporter: Told what the user should know, and how far the work is.
        settings: What is asked for: the fields of `Settings`, such as `model`, `epochs` or `out`.

    Raises:
        BudwoodError: Of the kind that fits; nothing that was stored is lost.
    """
    known = [name for name in settings_of(Settings) if name not in ("data", "recipe")]
    require_all(unknown_keys(settings, known, "A training", "setting"))
    for name in ("test", "out"):
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    chosen = None if recipe is None else load_recipe(recipe)
    request = (
        Settings(data=Path(data), **settings)
        if chosen is None
        else chosen.request(Path(data), settings)
    )
    return run_training(request, reporter, recipe=chosen)


def run_training(
    request: Settings,
    reporter: Reporter = SILENT,
    started: float | None = None,
    recipe: Recipe | None = None,
    on_features: Callable[[], None] = lambda: None,
    on_result: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Load, build, freeze, extract, train, judge, save.

    Args:
        request: What to do.
        reporter: Told what the user should know, and how far the work is.
        started: `time.perf_counter()` when the process started, for the timings.
        recipe: The recipe that the request is from, to compare the result with.
        on_features: Called when all features are there, and something is fitted to them.
        on_result: Called with the result when it is saved; its page is drawn afterwards.

    Raises:
        BudwoodError: Of the kind that fits; nothing that was stored is lost.
    """
    clock = _Clock(started)
    training = Training.of(request)
    preferred_specs(request.precision, request.device)
    if request.out is not None:
        require_outside(request.out, request.data, request.test)
        require_new(request.out, request.replace)
    elif is_inside(RUNS, request.data):
        reporter.note(f"The run goes into {place_for(RUNS, request.data)}, beside the photos.")
    require_writable(request.out or place_for(RUNS, request.data))
    images = load_folder(
        request.data,
        test=request.test,
        val=request.val,
        test_fraction=request.test_fraction,
        seed=request.seed,
        group=request.group,
        reporter=reporter,
    )
    images = replace(images, notes=(*images.notes, *_lonely(images)))
    if request.kfold is not None:
        require_folds(images.all_but_own_test(), request.kfold)
    for note in images.notes:
        reporter.note(note)
    network = prepared_network(request, images.classes)
    set_depth(network, images.depth)
    model = ImageClassifier(
        network,
        training=None if request.may_be_fitted else training,
        probe=Probe(seed=request.seed),
        extraction=Extraction(
            precision=request.precision, device=request.device, store_limit=request.store_limit
        ),
        reporter=reporter,
    )
    for line in _network_notes(network):
        reporter.note(line)
    algorithm = request.algorithm(is_linear=model.plan.layer is not None)
    if request.patience is not None and images.val is None:
        raise ConfigError(
            "--patience needs validation photos.", next="Add a val folder or --val 0.1."
        )
    model.training = training if algorithm.name == "sgd" else None
    reporter.note(algorithm)
    parameters = _count(network)
    reporter.note(
        f"{parameters[1]:,} of {parameters[0]:,} parameters train; {model.plan.frontier}."
    )
    clock.lap("startup")
    splits = [split for split in (images.train, images.val, images.test) if split is not None]
    trial = model.plan.settle_precision(images.train)
    gathered = model.gather([path for split in splits for path in split.paths])
    left = leave_out_unreadable(images, gathered.unreadable, strict=request.strict)
    for note in unreadable_lines(images, left):
        reporter.note(note)
    clock.lap("features")
    on_features()
    crossed = None
    if request.kfold is not None:
        crossed = model.cross_validate(left.all_but_own_test(), request.kfold, request.seed)
        clock.lap("kfold")
    model.fit(left.train, val=left.val)
    clock.lap("fit")
    verdict = _verdict(model, left.test, request.abstain, reporter)
    evaluation = None if verdict is None else verdict.evaluation
    clock.lap("evaluate")
    curve = model.learning_curve(left.train, request.seed) if request.learning_curve else None
    if curve is not None:
        clock.lap("learning_curve")
    assert model.fit_ is not None
    origin = info(network).origin
    assert origin is not None
    folder = request.out or new_folder(request.data, request.model)
    with writing_to(folder):
        mark(folder)
        remove_pages(folder)
        model.save(folder / CAPSULE, evaluation)
        clock.lap("save")
        run = Run(
            folder,
            request,
            origin.weights,
            left,
            gathered,
            model.fit_,
            algorithm,
            evaluation,
            parameters,
            diagnostics=Diagnostics(
                None if verdict is None else verdict.calibration, crossed, curve
            ),
            receipt=info(network).receipt,
            warning=model.warning,
            int8=trial,
            seconds=clock.seconds(),
        )
        if recipe is not None:
            run = replace(run, chapter=compared_with_chapter(recipe, request, _reached(run)))
        write_json(folder / CONFIG, request.to_json())
        write_json(folder / "history.json", list(model.fit_.history))
        write_json(folder / "result.json", versioned(run.to_json()))
        on_result(run)
        leave_page(folder, request, run.to_json(), left, model, gathered)
    return run


def _verdict(
    model: ImageClassifier,
    test: Split | None,
    abstain: float | None,
    reporter: Reporter,
) -> Assessment | None:
    """What it comes to on the test photos; a training is not lost because it cannot abstain."""
    if abstain is not None and model.statistics_ is None:
        reporter.note("It cannot tell when to abstain: no photo was held out of its training.")
        abstain = None
    if abstain is not None and not test:
        reporter.note(
            f"There is no test set to check the target error rate on. Abstaining, "
            f"{model.rule(abstain)}."
        )
    return model.judge(test, abstain) if test else None


def _network_notes(network: nn.Module) -> Iterator[str]:
    """What the user should know of a network before it is trained."""
    yield from info(network).notes
    receipt = info(network).receipt
    if receipt is not None and not receipt.is_full:
        yield from str(receipt).splitlines()


def _reached(run: Run) -> RunFigures:
    return RunFigures(
        test_top1=None if run.evaluation is None else run.evaluation.top1,
        train_top1=run.fit.train_top1,
        train_images=len(run.images.train),
        test_images=len(run.images.test or ()),
        seconds=run.seconds["total"],
        device=run.request.device,
        weights=run.weights,
        frozen_random=run.warning is not None,
    )


def _lonely(images: ImageFolder) -> list[Note]:
    """A note for each class with one training photo that no note is about yet."""
    told = {name for note in images.notes for name in note.about}
    names = [n for n, number in images.train.counts().items() if number == 1 and n not in told]
    return few_or_one(
        [
            Note("small-class", f"Class {name!r} has one training photo only.", about=(name,))
            for name in names
        ],
        [repr(name) for name in names],
        "{number} classes have one training photo only: {names}.",
    )


class _Clock:
    """Seconds of each stage."""

    def __init__(self, started: float | None) -> None:
        self._started = self._last = time.perf_counter() if started is None else started
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name], self._last = round(now - self._last, 3), now

    def seconds(self) -> dict[str, float]:
        return {"total": round(time.perf_counter() - self._started, 3), **self._laps}


def _count(network: nn.Module) -> tuple[int, int]:
    sizes = [(p.numel(), p.requires_grad) for p in network.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)
