"""Classifier: a network with classes that is fitted, judged, asked, saved and loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.capsule.pack import Capsule, packed, read_capsule, write_capsule
from budwood.display import as_html
from budwood.errors import ConfigError, PhotoError
from budwood.features.extraction import OnProgress
from budwood.features.gathering import Extraction, Gathered
from budwood.features.rows import RowSource, Selected
from budwood.images.deep_images import depth_notes, depth_of, extents_of, misfit_notes
from budwood.images.given import Photos, fitted_images, labelled, listed, photo_files
from budwood.images.preprocessing import Preprocessing
from budwood.images.splits import Split
from budwood.judging.cross_validation import CrossValidation, crossed
from budwood.judging.honesty import Verdict, honesty_of
from budwood.judging.learning_curve import LearningCurve, learning_curve
from budwood.judging.metrics import Evaluation, evaluate_logits
from budwood.judging.selective import SelectiveRule
from budwood.judging.trust import Answers, HeldOutImages, Trust, learned_trust, rule_of
from budwood.learning.algorithms import Asked, require_asked, settled
from budwood.learning.blocks import FeatureRows, spans
from budwood.learning.fitting import Fit as Fit
from budwood.learning.fitting import fit_plan, require_readable
from budwood.learning.folding import hits_of_folds, require_folds
from budwood.learning.held_out import HeldOut
from budwood.learning.plan import Plan
from budwood.learning.precision_trial import pooled
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.training import Epoch, Training
from budwood.networks.building import origin_of, preprocessing_of, rebuild, set_depth
from budwood.networks.heads import num_outputs
from budwood.networks.states import load_state
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.grafting import regraft
from budwood.threads import Lock

JUDGED_AT_ONCE = 1024
"""Photos whose features are looked at together, to see which are strange."""


def _silent(note: str) -> None:
    """What is said when nobody listens; unlike a lambda it can be pickled."""


class Classifier:
    """A classifier of photos in scikit-learn's manner.

    What is frozen in the network runs once per photo and is stored; the rest is fitted. A linear
    head that trains alone is fitted by logistic regression (`fit_probe`), anything else is trained
    on mini-batches; `algorithm` or `training` ask for one of the two by name.

    Args:
        network: From `build`, frozen as it should be; or any module with a `preprocessing`.
        training: Epochs, optimizer and so on of mini-batch training; asks for it where it is given.
        probe: How a linear head is fitted.
        extraction: Precision, device and store limit of the frozen part.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass over the photos is.
        on_epoch: Told each epoch's row of the history.
        algorithm: `logistic`, `sgd`, or `auto`: logistic regression where it can be.

    Example:
        >>> from budwood import build, freeze, unfreeze
        >>> network = build("efficientnet_lite0", classes=["cat", "dog"])
        >>> model = Classifier(unfreeze(freeze(network, "*"), "classifier"))
        >>> model.class_names
        ('cat', 'dog')
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        training: Training | None = None,
        probe: Probe | None = None,
        extraction: Extraction | None = None,
        on_note: Callable[[str], None] = _silent,
        on_progress: OnProgress | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        algorithm: Asked = "auto",
    ) -> None:
        self.network = network
        self.training = training
        self.probe = probe or Probe()
        self.extraction = extraction or Extraction()
        self.on_note = on_note
        self.on_progress = on_progress
        self.on_epoch = on_epoch
        self.algorithm = algorithm
        self.fit_: Fit | None = None
        self.trust_: Trust | None = None
        """How far its word can be taken; None before it is fitted, and where that is not known."""
        self._names: tuple[str, ...] | None = None
        self._plan: Plan | None = None
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: all but how the network is cut, which is found again."""
        with self._lock:
            return vars(self) | {"_plan": None}

    def __repr__(self) -> str:
        origin, classes = origin_of(self.network), self._known_classes
        network = type(self.network).__name__ if origin is None else origin.architecture
        return f"Classifier({network}, {len(classes) if classes else 'unnamed'} classes)"

    def __str__(self) -> str:
        parameters, known = list(self.network.parameters()), self._known_classes or ()
        shown = [*known[:5], *([f"and {len(known) - 5} more"] if known[5:] else [])]
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        total = sum(p.numel() for p in parameters)
        rows = {
            "network": repr(self)[11:].partition(",")[0],
            "classes": ", ".join(shown) if shown else "not named",
            "parameters": f"{total:,}, of which {trained:,} train",
            "fitted": f"to {self.fit_.photos} photos" if self.fit_ else "not in this process",
        }
        return "\n".join(f"{name:10}  {value}" for name, value in rows.items())

    def _repr_html_(self) -> str:
        return as_html(self)

    @property
    def classes_(self) -> NDArray[np.str_]:
        """The names of the classes as scikit-learn wants them, an array."""
        return np.array(self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs; numbers until they are known."""
        known = self._known_classes
        return known or tuple(str(i) for i in range(num_outputs(self.network)))

    @property
    def _known_classes(self) -> tuple[str, ...] | None:
        origin = origin_of(self.network)
        named = None if origin is None else origin.classes
        return named or self._names

    @property
    def preprocessing(self) -> Preprocessing:
        """From file bytes to pixels; it belongs to the weights."""
        return preprocessing_of(self.network)

    @property
    def plan(self) -> Plan:
        """How the network is cut; made on first use, and again once layers have been exchanged,
        frozen or unfrozen, or given other weights.

        Raises:
            ConfigError: If what trains cannot be fitted by the algorithm.
        """
        with self._lock:
            if self._plan is None or not self._plan.is_current():
                self._plan = self._new_plan()
            return self._plan

    def _new_plan(self) -> Plan:
        require_asked(self.algorithm)
        if self.algorithm == "logistic" and self.training is not None:
            raise ConfigError(
                "`training` has no effect on a head that is fitted by logistic regression.",
                next="Leave it out, or pass algorithm='sgd'.",
            )
        plan = Plan(
            self.network,
            self.preprocessing,
            self.extraction,
            solve=self.training is None and self.algorithm != "sgd",
            on_note=self.on_note,
            on_progress=self.on_progress,
        )
        settled(self.algorithm, (), is_linear=plan.layer is not None)
        return plan

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this classifier was made with."""
        names = ("training", "probe", "extraction", "on_note", "on_progress", "on_epoch")
        return {"network": self.network} | {n: getattr(self, n) for n in (*names, "algorithm")}

    def set_params(self, **params: Any) -> "Classifier":
        """Change some of them.

        Raises:
            ConfigError: If one is not called so.
        """
        if unknown := sorted(set(params) - set(self.get_params())):
            raise ConfigError(
                f"Classifier has no parameter {unknown[0]!r}.",
                expected=f"It has {', '.join(self.get_params())}.",
            )
        for name, value in params.items():
            setattr(self, name, value)
        self._plan = None
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator before it cross-validates: this one classifies."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags())

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 if that is not known."""
        return 1.0 if self.trust_ is None else self.trust_.temperature

    def gather(self, paths: Sequence[Path]) -> Gathered:
        """Run the trunk over photos ahead of fitting and judging; says which are broken."""
        return self.plan.judging_rows(paths)

    def fit(
        self,
        photos: Split | Sequence[Path | str],
        labels: Sequence[str] | None = None,
        *,
        groups: Sequence[object] | None = None,
        val: Split | None = None,
    ) -> "Classifier":
        """Train what is not frozen. Frozen tensors are proven unchanged at the end.

        Photos of one group (copies, a burst, one plant) are held out together wherever some are
        held out: to choose the penalty, to calibrate, to find the threshold for "unknown". A split
        of `load_folder` knows its groups.

        Args:
            photos: A split, or the paths of photos.
            labels: The class name of each photo, if `photos` are paths.
            groups: The group of each photo, if `photos` are paths; None: each stands for itself.
            val: Photos that steer early stopping. Where they stop nothing, a graft that is trained
                is calibrated on them.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
            FrozenChanged: If a frozen tensor changed.
        """
        train = self._as_split(photos, labels, groups)
        self._settle_depth(train)
        val = None if val is None else labelled(val, None, train.classes)
        training = self.training or Training()
        with self._lock:  # who predicts meanwhile gets the answers of before, or of afterwards
            plan = self.plan
            plan.settle_precision(train)
            fit, held_out, rows = fit_plan(plan, train, val, training, self.probe, self.on_epoch)
            self.fit_, self._names = fit, train.classes
            self.trust_ = self._learned_trust(train, held_out, rows)
        return self

    def evaluate(self, split: Split) -> Evaluation:
        """Accuracy with its interval, per class, and the photos it gets wrong.

        Its loss and probabilities are calibrated, as those of `predict_proba`.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
        """
        split = self._as_split(split, None)
        self._tell_of_depth(split.paths)
        return self.judge(split).evaluation

    def judge(self, split: Split, abstain: float | None = None) -> Verdict:
        """What `evaluate` gives, and how far its word could be taken on these photos.

        Args:
            split: Labelled photos.
            abstain: The target error rate of answered photos; see `SelectiveRule`.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
            ConfigError: If it cannot abstain, or `abstain` is no rate.
        """
        split = self._as_split(split, None)
        rule = None if abstain is None else self.rule(abstain)
        gathered = require_readable(self.plan.judging_rows(split.paths))
        logits, targets = self.plan.logits(gathered), torch.from_numpy(split.targets)
        scaled, groups = logits / self.temperature, split.group_numbers
        ood = self.out_of_distribution(gathered)
        return Verdict(
            evaluate_logits(scaled, targets, split.classes, split.paths, groups=groups),
            honesty_of(self.trust_, logits.numpy(), split.targets, ood, rule, groups),
            (logits.argmax(1) == targets).numpy(),
        )

    def rule(self, target_error: float) -> SelectiveRule:
        """Which photos it answers, so that with 90 % confidence its error is at most the target.

        Raises:
            ConfigError: If it cannot abstain, or the target is not between 0 and 1.
        """
        return rule_of(self.trust_, target_error)

    def cross_validate(self, photos: Split, k: int = 5, seed: int = 0) -> CrossValidation:
        """Accuracy on each of these photos, by a head that was fitted to other folds.

        The classifier stays as it is. A head that is solved takes seconds; one that is trained is
        trained `k` times, without early stopping.

        Args:
            photos: All are judged, and all but a fold are learned from each time.
            k: Folds.
            seed: Of the folds.

        Raises:
            ConfigError: If there cannot be so many folds, or the head has been trained already.
            DataError: If a photo is broken, or the classes are not the network's.
        """
        photos = self._as_split(photos, None)
        if self.fit_ is not None and self.plan.layer is None:
            raise ConfigError(
                "The head has been trained already, on photos that would be judged.",
                next="Cross-validate before you fit.",
            )
        for note in require_folds(photos, k):
            self.on_note(note)
        if self._names is None:
            self._settle_depth(photos)
        if self.plan.trial is None:
            self.plan.settle_precision(photos)
        training = self.training or Training()
        right, folds = hits_of_folds(self.plan, photos, k, training, self.probe, seed)
        return crossed(right, folds, photos.group_numbers)

    def learning_curve(self, photos: Split, seed: int = 0) -> LearningCurve:
        """Accuracy of a linear head by the number of photos, and what more would bring.

        Where the head is no linear layer that is solved, one on the same features stands for it.

        Args:
            photos: Training photos; those of one group are held out, and learned from, together.
            seed: Of folds and draws.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
        """
        photos = self._as_split(photos, None)
        if self._names is None:
            self._settle_depth(photos)
        gathered = require_readable(self.plan.judging_rows(photos.paths))
        labels, k = torch.from_numpy(photos.targets), len(photos.classes)
        is_solved = self.plan.layer is not None
        if not is_solved:
            self.on_note("The learning curve is that of a linear head on the frozen features.")
        rows = self.plan.features(gathered) if is_solved else FeatureRows(pooled(gathered.rows))
        groups = photos.group_numbers
        known = self.fit_ and self.fit_.probe
        found = known or fit_probe(rows, labels, k, self.probe, groups=groups)
        return learning_curve(rows, labels, k, penalty=found.penalty, groups=groups, seed=seed)

    def head_features(self, gathered: Gathered) -> NDArray[np.float32]:
        """What the last layer is fed with, `n d`; where it is not the only one that trains, the
        means of what is frozen."""
        if not gathered.paths:
            return np.empty((0, 1), np.float32)
        is_solved = self.plan.layer is not None
        rows = self.plan.features(gathered) if is_solved else gathered.rows
        found: NDArray[np.float32] = pooled(rows).numpy()
        return found

    def score(self, photos: Split | Sequence[Path], labels: Sequence[str] | None = None) -> float:
        """Top-1 accuracy."""
        return self.evaluate(self._as_split(photos, labels)).top1

    def predict(self, photos: Photos, abstain: float | None = None) -> NDArray[Any]:
        """The name of the most probable class of each photo.

        Args:
            photos: Files, Pillow images, or arrays.
            abstain: The target error rate of answered photos: the others are None, and the array
                is one of objects. Without it all are answered.

        Raises:
            PhotoError: If a photo is broken; the error names it.
            ConfigError: If it cannot abstain, or `abstain` is no rate.
        """
        rule = None if abstain is None else self.rule(abstain)
        answers, shares = self._answers_to_all(photos)
        best: NDArray[Any] = self.classes_[shares.argmax(1)]
        if rule is not None:
            best = best.astype(object)
            best[~rule.answers(shares, answers.ood)] = None
        return best

    def predict_proba(self, photos: Photos) -> NDArray[np.float32]:
        """Calibrated probabilities `n k`, columns in the order of `classes_`.

        Raises:
            PhotoError: If a photo is broken; the error names it.
        """
        return self._answers_to_all(photos)[1]

    def answers(self, photos: Photos) -> Answers:
        """Logits of the photos that can be read, in order, which of them are out of distribution,
        and the files that cannot be read."""
        return self._answers(photos)[0]

    def _answers(self, photos: Photos) -> tuple[Answers, NDArray[np.float32]]:
        """The same, and calibrated probabilities `n k`; any number of threads may ask.

        What is frozen runs for all of them at once. What trains has its turn alone: `fit` in
        another thread changes it, and it is in one mode at a time.
        """
        photos = listed(photos)
        if not len(photos):
            empty = np.empty((0, len(self.class_names)), np.float32)
            return Answers(empty, None, {}), empty
        paths, plan = photo_files(photos), self.plan
        if paths is None:
            rows = plan.rows_exactly(fitted_images(photos, self.preprocessing))
            unreadable = {}
        else:
            self._tell_of_depth(paths)
            gathered = plan.judging_rows(paths, keep=False)
            rows, unreadable = gathered.rows, gathered.broken
        with self._lock:
            logits = plan.logits_of(rows) if len(rows) else torch.empty(0, len(self.class_names))
            probabilities: NDArray[np.float32] = (logits / self.temperature).softmax(1).numpy()
            return Answers(logits.numpy(), self._ood_of(rows), unreadable), probabilities

    def out_of_distribution(self, gathered: Gathered) -> NDArray[np.bool_] | None:
        """Which photos are of none of the classes, by their rows; None if that is not known."""
        return self._ood_of(gathered.rows)

    def _ood_of(self, rows: RowSource) -> NDArray[np.bool_] | None:
        known = None if self.trust_ is None else self.trust_.familiar
        if known is None:
            return None
        parts = spans(len(rows), JUDGED_AT_ONCE)
        some = (Selected(rows, range(part.start, part.stop)) for part in parts)
        found = [known.is_strange(pooled(each).numpy()) for each in some]
        return np.concatenate([np.empty(0, np.bool_), *found])

    def _settle_depth(self, train: Split) -> None:
        """Take what is black and white in photos of more than 8 bits from the training photos."""
        depth = train.depth
        if depth is None:
            extents = extents_of(train.paths)
            depth = depth_of(extents.values())
            for note in depth_notes(depth, train.paths, extents):
                self.on_note(str(note))
        if depth != self.preprocessing.depth:
            set_depth(self.network, depth)

    def _tell_of_depth(self, paths: Sequence[Path]) -> None:
        """Note photos whose values lie beyond those of the training photos."""
        for note in misfit_notes(self.preprocessing.depth, extents_of(paths).values()):
            self.on_note(str(note))

    def _answers_to_all(self, photos: Photos) -> tuple[Answers, NDArray[np.float32]]:
        answers, probabilities = self._answers(photos)
        if answers.unreadable:
            where, reason = next(iter(answers.unreadable.items()))
            raise PhotoError(f"{where} cannot be read: {reason}", file=str(where))
        return answers, probabilities

    def save(
        self,
        path: Path | str,
        evaluation: Evaluation | None = None,
        golden: Sequence[Path] | None = None,
    ) -> Path:
        """Write the capsule: one file that predicts the same anywhere.

        Args:
            path: The file to write.
            evaluation: What to say of its accuracy.
            golden: Photos to prove it by, of which only the pixels leave with it (no place, date
                or camera); default: drawn pictures, so that none of your photos does.

        Raises:
            CapsuleError: If the network was not made by `build`, so that no other machine could
                make it again.
        """
        capsule = packed(
            self.plan,
            self.class_names,
            fit=self.fit_,
            trust=self.trust_,
            evaluation=evaluation,
            golden=golden,
        )
        write_capsule(Path(path), capsule)
        return Path(path)

    def _learned_trust(
        self, train: Split, held_out: HeldOut | None, rows: RowSource
    ) -> Trust | None:
        if held_out is None:
            self.on_note("Its probabilities are not calibrated: no photo was held out of training.")
            return None
        answered = rows if held_out.rows is None else held_out.rows
        places = np.arange(len(answered)) if held_out.positions is None else held_out.positions
        images = HeldOutImages(
            held_out.logits.numpy(),
            held_out.labels,
            held_out.groups,
            held_out.positions,
            lambda some: _pooled(answered, places[some]),
        )
        return learned_trust(
            images, train.targets, train.group_numbers, lambda some: _pooled(rows, some)
        )

    def _as_split(
        self,
        photos: Split | Sequence[Path | str],
        labels: Sequence[str] | None,
        groups: Sequence[object] | None = None,
    ) -> Split:
        are_named = self._known_classes is not None
        return labelled(photos, labels, self.class_names, groups=groups, are_named=are_named)


def _pooled(rows: RowSource, some: NDArray[np.integer]) -> NDArray[np.floating]:
    features: NDArray[np.float32] = pooled(Selected(rows, some.tolist())).numpy()
    return features


def load(path: Path | str, **options: Any) -> Classifier:
    """The classifier in a capsule.

    Args:
        path: The file, or the folder of a run.
        options: What `Classifier` takes beside the network.

    Raises:
        CapsuleError: If there is none, or it is damaged or not one of ours.
    """
    return unpacked(read_capsule(Path(path)), **options)


def unpacked(capsule: Capsule, **options: Any) -> Classifier:
    """The classifier that a capsule describes."""
    origin = capsule.origin
    network = rebuild(origin) if origin.graft is None else regraft(origin)
    load_state(network, capsule.state)
    network.preprocessing = capsule.preprocessing  # type: ignore[assignment]
    freeze(network, "*")
    unfreeze(network, *capsule.trainable)
    model = Classifier(network, **options)
    model._names = capsule.classes
    model.trust_ = capsule.trust
    return model
