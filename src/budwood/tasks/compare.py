"""Comparing networks on a folder of photos: one pass over them a network, then a probe a stage."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from budwood.data.folder import ImageFolder, leave_out_unreadable, load_folder, unreadable_lines
from budwood.data.labels import Note, few_or_one
from budwood.data.splits import Split
from budwood.data.splitting import rare_classes
from budwood.errors import (
    BudwoodError,
    ConfigError,
    CutError,
    DataError,
    EngineError,
    ImageError,
    UnknownName,
    WeightsError,
)
from budwood.evaluation.comparison import MARGIN, ComparedNetwork, Comparison, require_margin
from budwood.evaluation.staged_networks import StagedNetwork
from budwood.features.gathering import Extraction, FeatureSet
from budwood.learning.probe import Probe, folds_to_hold_out
from budwood.models.candidates import Candidate, candidates
from budwood.reporter import SILENT, Reporter

OF_THE_NETWORK = (WeightsError, CutError, EngineError, ConfigError, UnknownName)
"""Errors for which a network is left out; any other would stop the next network too."""


def compare(
    data: Path | str,
    models: Sequence[str | Candidate] | None = None,
    *,
    extraction: Extraction | None = None,
    margin: float = MARGIN,
    seed: int = 0,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> Comparison:
    """Probes on every stage of every network, on the training photos.

    Test photos take no part: they choose nothing. What a network has computed is stored; an
    interrupted comparison goes on there.

    Args:
        data: Folder or CSV file of photos.
        models: The networks: names, globs, `NAME=WEIGHTS`; None: all whose weights are on this
            machine.
        extraction: How their trunks are run: precision, device, limit of the store.
        margin: How much worse than the best, as a share of the images, a recommended stage may be.
        seed: Of the split, if there is none, and of the folds.
        strict: Whether a single unreadable image is an error.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        BudwoodError: Of the kind that fits. A network that cannot be had or cut is left out, if
            there are others.
    """
    require_margin(margin)
    asked = _candidates(models)
    images = load_folder(data, seed=seed, reporter=reporter)
    for note in images.notes:
        reporter.note(note)
    if not asked:
        raise ConfigError("There is no network to compare.", next="Name some with --models.")
    folds_to_hold_out(images.train.targets, images.train.group_numbers, seed=seed)
    networks: list[ComparedNetwork] = []
    skipped: list[tuple[str, str]] = []
    train: Split | None = None

    def leave_out(candidate: Candidate, problem: BudwoodError) -> None:
        if len(asked) == 1:
            raise problem
        reporter.note(f"{candidate} is left out: {problem.problem}")
        skipped.append((str(candidate), problem.problem))

    for number, candidate in enumerate(asked, 1):
        reporter.note(f"{candidate} ({number} of {len(asked)})")
        try:
            network = StagedNetwork(candidate, extraction or Extraction(), reporter, images.depth)
            gathered = network.gather((train or images.train).paths)
        except OF_THE_NETWORK as problem:
            leave_out(candidate, problem)
            continue
        if train is None:
            train = _readable(images, gathered, strict, reporter)
        _require_readable(train, gathered)
        try:
            networks.append(network.judged(gathered, train, Probe(seed=seed), reporter))
        except DataError as problem:  # its features are not finite
            leave_out(candidate, problem)
    if train is None or not networks:
        raise ConfigError(
            "No network could be compared. "
            + " ".join(f"{name}: {reason}" for name, reason in skipped),
            next="Name others with --models, or NAME=none for random weights.",
        )
    folds = folds_to_hold_out(train.targets, train.group_numbers, seed=seed)
    return Comparison(
        images=len(train),
        classes=train.classes,
        folds=len(np.unique(folds)),
        largest_class=max(train.counts().values()) / len(train),
        networks=tuple(networks),
        skipped=tuple(skipped),
        groups=train.group_numbers,
        margin=margin,
    )


def _candidates(models: Sequence[str | Candidate] | None) -> list[Candidate]:
    if models is None:
        return list(candidates([]))
    each = [[one] if isinstance(one, Candidate) else candidates([one]) for one in models]
    return list(dict.fromkeys(one for some in each for one in some))


def _readable(images: ImageFolder, gathered: FeatureSet, strict: bool, reporter: Reporter) -> Split:
    """The training photos without the broken ones; what the user should know of them is told."""
    left = leave_out_unreadable(images, gathered.unreadable, strict=strict)
    for note in unreadable_lines(images, left):
        reporter.note(note)
    folds_to_hold_out(left.train.targets, left.train.group_numbers)
    names, counts = left.train.classes, left.train.counts()
    rare = [names[k] for k in rare_classes(left.train.targets, 2, left.train.group_numbers)]
    notes = [
        Note(
            "few-groups",
            f"Class {name!r} has one training photo only: while it is held out no other shows its "
            "class, so it counts as wrong."
            if counts[name] == 1
            else f"The training photos of class {name!r} all belong together: while they are held "
            "out no other shows their class, so they count as wrong.",
        )
        for name in rare
    ]
    many = (
        "{number} classes have one training photo or one group only: while it is held out no other "
        "shows the class, so it counts as wrong. They are {names}."
    )
    for note in few_or_one(notes, [repr(name) for name in rare], many):
        reporter.note(note)
    return left.train


def _require_readable(train: Split, gathered: FeatureSet) -> None:
    gone = [path for path in train.paths if path in gathered.unreadable]
    if gone:
        raise ImageError(
            f"{gone[0]} can no longer be read: {gathered.unreadable[gone[0]]}",
            next="Leave the photos in place while they are compared.",
            file=gone[0],
        )
