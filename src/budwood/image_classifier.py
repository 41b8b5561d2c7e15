"""A network with classes that is fitted, judged, asked, saved and loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.capsule.pack import Capsule, packed, read_capsule, write_capsule
from budwood.data.deep_images import depth_notes, depth_of, extents_of, misfit_notes
from budwood.data.inputs import Images, are_numbers, fitted_images, image_files, labelled, listed
from budwood.data.splits import Split
from budwood.display import as_html
from budwood.errors import ConfigError, EngineError, ImageError
from budwood.evaluation.held_out_statistics import Answers, HeldOutStatistics, rule_of
from budwood.evaluation.learning_curve import LearningCurve, learning_curve
from budwood.evaluation.metrics import Evaluation
from budwood.evaluation.reliability import (
    Assessment,
    CrossValidation,
    crossed,
    ood_of,
    statistics_from,
    temperature_of,
    verdict_on,
)
from budwood.evaluation.selective import SelectiveRule
from budwood.features.gathering import Extraction, FeatureSet
from budwood.features.int8 import Calibration
from budwood.features.verification import TOLERANCE, spread_error
from budwood.grafting.grafted import regraft
from budwood.images.depth import Depth
from budwood.images.preprocessing import Preprocessing
from budwood.learning.fitting import Fit, fit_plan, require_readable
from budwood.learning.int8_trial import pooled
from budwood.learning.kfold import hits_of_folds, require_folds
from budwood.learning.plan import Plan, state_of, trainable_copy
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.streaming import FeatureRows
from budwood.learning.training import Training
from budwood.models.building import rebuild
from budwood.models.heads import num_outputs
from budwood.models.info import RANDOM_WEIGHTS, info, preprocessing_of, set_depth, set_info
from budwood.models.states import load_state
from budwood.reporter import SILENT, Reporter
from budwood.settings import Asked, require_setting, settled
from budwood.surgery.freezing import freeze, unfreeze
from budwood.threads import Lock

_PLANS = Lock()
"""Held while a classifier finds, makes or exchanges its plan."""


@dataclass(frozen=True)
class _Start:
    """What a fit begins with: a copy of the network, cut, and what it was made from."""

    plan: Plan
    may_be_logistic: bool
    made_from: tuple[object, ...]


class ImageClassifier:
    """`Classifier` without what scikit-learn brings, which takes longer to import than most
    commands take: what every command works with. See there for parameters and attributes.
    """

    network_: nn.Module
    classes_: NDArray[Any]
    fit_: Fit | None = None
    statistics_: HeldOutStatistics | None = None
    _names: tuple[str, ...] | None = None
    _plan: Plan | None = None
    _int8: tuple[str, Calibration] | None = None
    """A trunk and its form in int8, which predicts as long as the network has that trunk."""
    _start: _Start | None = None

    def __init__(
        self,
        network: nn.Module,
        *,
        training: Training | None = None,
        probe: Probe | None = None,
        extraction: Extraction | None = None,
        reporter: Reporter | None = None,
        algorithm: Asked = "auto",
    ) -> None:
        self.network = network
        self.training = training
        self.probe = probe
        self.extraction = extraction
        self.reporter = reporter
        self.algorithm = algorithm

    @classmethod
    def of_fitted(
        cls,
        network: nn.Module,
        classes: tuple[str, ...] | None = None,
        statistics: HeldOutStatistics | None = None,
        **options: Any,
    ) -> Self:
        """A network that is fitted already, as a classifier.

        Args:
            network: As it was saved, or with published weights.
            classes: Their names, in the order of its outputs; None: those that it carries.
            statistics: What held-out images say of it.
            options: What the constructor takes beside the network.
        """
        model = cls(network, **options)
        names = classes or model.class_names
        model.network_, model.classes_, model._names = network, np.array(names), names
        model.statistics_ = statistics
        return model

    @classmethod
    def of_capsule(cls, capsule: Capsule, **options: Any) -> Self:
        """The classifier that a capsule describes."""
        origin = capsule.origin
        network = rebuild(origin) if origin.graft is None else regraft(origin)
        load_state(network, capsule.state)
        set_info(network, preprocessing=capsule.preprocessing)
        unfreeze(freeze(network, "*"), *capsule.trainable)
        model = cls.of_fitted(network, capsule.classes, capsule.statistics, **options)
        if capsule.int8 is not None:
            model._use_int8(capsule)
        return model

    @classmethod
    def load(cls, path: Path | str, **options: Any) -> Self:
        """The classifier in a capsule: a file, or the folder of a run.

        Raises:
            CapsuleError: If there is none, or it is damaged or not one of ours.
        """
        return cls.of_capsule(read_capsule(Path(path)), **options)

    def _use_int8(self, capsule: Capsule) -> None:
        """Predict with the trunk in int8 that was judged, if it gives its answers here too."""
        assert capsule.int8 is not None
        given, plan = capsule.int8, self.plan
        source = Calibration((), given.calibration, (given.graph, given.weights))
        if self.extraction is not None and self.extraction.precision not in ("auto", "int8"):
            return
        plan.adopt(source)
        pixels = np.stack([self.preprocessing.pixels(one.image) for one in capsule.golden])
        try:
            error = spread_error(capsule.int8.logits, plan.answers(pixels, source.spec).numpy())
        except EngineError as problem:
            self._reporter.note(f"{problem.problem} It predicts as without int8.")
            plan.adopt(None)
            return
        if error > TOLERANCE:
            self._reporter.note(
                f"int8 disagrees here with the answers that the capsule holds (error {error:.3f} "
                f"of the spread, tolerance {TOLERANCE:g}). It predicts as without int8."
            )
            plan.adopt(None)
        else:
            plan.note_calibrated()
            self._int8 = plan.trunk_key, source

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: all but how the network is cut, which is found again."""
        with _PLANS:
            state = super().__getstate__()
            assert isinstance(state, dict)
            if self._plan is not None and self._plan.calibration is not None:
                model = self._plan.quantised_model()
                calibration = replace(self._plan.calibration, model=model)
                state = state | {"_int8": (self._plan.trunk_key, calibration)}
            return {name: v for name, v in state.items() if name not in ("_plan", "_start")}

    def __repr__(self) -> str:
        origin, classes = info(self._network).origin, self._known_classes
        network = type(self._network).__name__ if origin is None else origin.architecture
        return f"{type(self).__name__}({network}, {len(classes) if classes else 'unnamed'} classes)"

    def __str__(self) -> str:
        parameters, known = list(self._network.parameters()), self._known_classes or ()
        shown = [*known[:5], *([f"and {len(known) - 5} more"] if known[5:] else [])]
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        total = sum(p.numel() for p in parameters)
        rows = {
            "network": repr(self).partition("(")[2].partition(",")[0],
            "classes": ", ".join(shown) if shown else "not named",
            "parameters": f"{total:,}, of which {trained:,} train",
            "fitted": f"to {self.fit_.images} photos" if self.fit_ else "not in this process",
        }
        return "\n".join(f"{name:10}  {value}" for name, value in rows.items())

    def _repr_html_(self) -> str:
        return as_html(self)

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs; numbers until they are known."""
        return self._known_classes or _numbered(self._network)

    @property
    def preprocessing(self) -> Preprocessing:
        """From file bytes to pixels; it belongs to the weights."""
        return preprocessing_of(self._network)

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 if that is not known."""
        return temperature_of(self.statistics_)

    @property
    def warning(self) -> str | None:
        """What must be said with every result: that the frozen weights are random."""
        origin = info(self._network).origin
        is_random = origin is not None and origin.weights == "none"
        trains_all = all(parameter.requires_grad for parameter in self._network.parameters())
        return RANDOM_WEIGHTS if is_random and not trains_all else None

    @property
    def plan(self) -> Plan:
        """How the network is cut; made on first use, and again once layers have been exchanged,
        frozen or unfrozen, or given other weights.

        Raises:
            ConfigError: If what trains cannot be fitted by the algorithm.
        """
        with _PLANS:
            if not self._is_fitted:
                return self._start_of(None).plan
            if self._plan is None or not self._plan.is_current():
                self._plan = self._new_plan(self.network_)
                if self._int8 is not None and self._int8[0] == self._plan.trunk_key:
                    self._plan.adopt(self._int8[1])
            return self._plan

    def gather(self, paths: Sequence[Path]) -> FeatureSet:
        """Run the trunk over photos ahead of fitting and judging; says which are broken."""
        return self.plan.judging_rows(paths)

    def fit(
        self,
        images: Split | Sequence[Path | str],
        labels: Sequence[Any] | None = None,
        *,
        groups: Sequence[object] | None = None,
        val: Split | None = None,
    ) -> Self:
        """Train what is not frozen. Frozen tensors are proven unchanged at the end.

        Photos of one group (copies, a burst, one plant) are held out together wherever some are
        held out: to choose the L2 strength, to calibrate, to find the threshold for "unknown". A
        split of `load_folder` knows its groups.

        Args:
            images: A split, or the paths of photos.
            labels: The class of each photo, if `images` are paths: its name, or its number.
            groups: The group of each photo, if `images` are paths; None: each stands for itself.
            val: Photos that steer early stopping. Where they stop nothing, a graft that is trained
                is calibrated on them.

        Raises:
            DataError: If an image cannot be read, or the classes are not the network's.
            FrozenChanged: If a frozen tensor changed.
        """
        named = _named_by(self.network)
        classes = named or _numbered(self.network)
        train = labelled(images, labels, classes, groups=groups, are_named=named is not None)
        val = None if val is None else labelled(val, None, train.classes)
        depth = self._depth_of(train)
        with _PLANS:  # the copy is this fit's alone from now on
            plan = self._start_of(depth).plan
            self._start = None
        plan.settle_precision(train)
        training, probe = self.training or Training(), self.probe or Probe()
        fit, held_out, rows = fit_plan(plan, train, val, training, probe)
        statistics = statistics_from(train, held_out, rows, self._reporter)
        with _PLANS:  # who predicts meanwhile gets the answers of before, or of afterwards
            self.network_, self._plan, self._int8 = plan.network, plan, None
            self.fit_, self.statistics_, self._names = fit, statistics, train.classes
            self.classes_ = np.array(train.classes)
            if labels is not None and are_numbers(labels):
                self.classes_ = np.arange(len(train.classes))
        return self

    def evaluate(self, split: Split) -> Evaluation:
        """Accuracy with its interval, per class, and the photos it gets wrong.

        Its loss and probabilities are calibrated, as those of `predict_proba`.

        Raises:
            DataError: If an image cannot be read, or the classes are not the network's.
        """
        split = self._as_split(split, None)
        self._tell_of_depth(split.paths)
        return self.judge(split).evaluation

    def judge(self, split: Split, abstain: float | None = None) -> Assessment:
        """What `evaluate` gives, and how far its word could be taken on these photos.

        Args:
            split: Labelled photos.
            abstain: The target error rate of answered photos; see `SelectiveRule`.

        Raises:
            DataError: If an image cannot be read, or the classes are not the network's.
            ConfigError: If it cannot abstain, or `abstain` is no rate.
        """
        split = self._as_split(split, None)
        self._require_fitted()
        rule = None if abstain is None else self.rule(abstain)
        gathered = require_readable(self.plan.judging_rows(split.paths))
        return verdict_on(split, gathered, self.plan, self.statistics_, rule)

    def rule(self, target_error: float) -> SelectiveRule:
        """Which photos it answers, so that with 90 % confidence its error is at most the target.

        Raises:
            ConfigError: If it cannot abstain, or the target is not between 0 and 1.
        """
        self._require_fitted()
        return rule_of(self.statistics_, target_error)

    def cross_validate(self, images: Split, k: int = 5, seed: int = 0) -> CrossValidation:
        """Accuracy on each of these photos, by a head that was fitted to other folds.

        The classifier stays as it is. What logistic regression fits takes seconds; any
        other graft is trained `k` times, without early stopping.

        Args:
            images: All are judged, and all but a fold are learned from each time.
            k: Folds.
            seed: Of the folds.

        Raises:
            ConfigError: If there cannot be so many folds, or the head was trained before it was
                saved and loaded.
            DataError: If an image cannot be read, or the classes are not the network's.
        """
        images = self._as_split(images, None)
        for note in require_folds(images, k):
            self._reporter.note(note)
        with _PLANS:
            plan = self._start_of(self._depth_of(images)).plan
        if self._is_fitted and self.network_ is self.network and plan.layer is None:
            raise ConfigError(
                "The head has been trained already, on photos that would be judged.",
                next="Cross-validate a network that was not trained on them.",
            )
        if plan.trial is None:
            plan.settle_precision(images)
        training, probe = self.training or Training(), self.probe or Probe()
        right, folds = hits_of_folds(plan, images, k, training, probe, seed)
        return crossed(right, folds, images.group_numbers)

    def learning_curve(self, images: Split, seed: int = 0) -> LearningCurve:
        """Accuracy of a linear head by the number of photos, and what more would bring.

        Where another head was trained, a linear one on the same features stands for it.

        Args:
            images: Training photos; those of one group are held out, and learned from, together.
            seed: Of folds and draws.

        Raises:
            DataError: If an image cannot be read, or the classes are not the network's.
        """
        images = self._as_split(images, None)
        with _PLANS:
            plan = self.plan if self._is_fitted else self._start_of(self._depth_of(images)).plan
        gathered = require_readable(plan.judging_rows(images.paths))
        labels, k = torch.from_numpy(images.targets), len(images.classes)
        if plan.layer is None:
            self._reporter.note(
                "The learning curve is that of a linear head on the frozen features."
            )
        rows = FeatureRows(pooled(gathered.rows)) if plan.layer is None else plan.features(gathered)
        groups = images.group_numbers
        known = self.fit_ and self.fit_.probe
        found = known or fit_probe(rows, labels, k, self.probe or Probe(), groups=groups)
        return learning_curve(
            rows, labels, k, l2_strength=found.l2_strength, groups=groups, seed=seed
        )

    def head_features(self, gathered: FeatureSet) -> NDArray[np.float32]:
        """What the last layer is fed with, `n d`; where it is not the only one that trains, the
        means of what is frozen."""
        if not gathered.paths:
            return np.empty((0, 1), np.float32)
        plan = self.plan
        rows = gathered.rows if plan.layer is None else plan.features(gathered)
        found: NDArray[np.float32] = pooled(rows).numpy()
        return found

    def score(self, images: Split | Sequence[Path], labels: Sequence[Any] | None = None) -> float:
        """Top-1 accuracy."""
        return self.evaluate(self._as_split(images, labels)).top1

    def predict(self, images: Images, abstain: float | None = None) -> NDArray[Any]:
        """The most probable class of each photo.

        Args:
            images: Files, Pillow images, or arrays.
            abstain: The target error rate of answered photos: the others are None, and the array
                is one of objects. Without it all are answered.

        Raises:
            ImageError: If an image cannot be read; the error names it.
            ConfigError: If it cannot abstain, or `abstain` is no rate.
        """
        rule = None if abstain is None else self.rule(abstain)
        answers, shares = self._answers_to_all(images)
        best: NDArray[Any] = self.classes_[shares.argmax(1)]
        if rule is not None:
            best = best.astype(object)
            best[~rule.answers(shares, answers.ood)] = None
        return best

    def predict_proba(self, images: Images) -> NDArray[np.float32]:
        """Calibrated probabilities `n k`, columns in the order of `classes_`.

        Raises:
            ImageError: If an image cannot be read; the error names it.
        """
        return self._answers_to_all(images)[1]

    def answers(self, images: Images) -> Answers:
        """Logits of the photos that can be read, in order, which of them are out of distribution,
        and the files that cannot be read."""
        return self._answers(images)[0]

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
            statistics=self.statistics_,
            evaluation=evaluation,
            golden=golden,
        )
        write_capsule(Path(path), capsule)
        return Path(path)

    @property
    def _is_fitted(self) -> bool:
        return "network_" in vars(self)

    def _require_fitted(self) -> None:
        if not self._is_fitted:
            from sklearn.exceptions import NotFittedError  # as every estimator of scikit-learn

            raise NotFittedError(
                f"This {type(self).__name__} is not fitted yet: call `fit` with labelled images."
            )

    @property
    def _network(self) -> nn.Module:
        """The fitted network, or the one that was given."""
        return self.network_ if self._is_fitted else self.network

    @property
    def _known_classes(self) -> tuple[str, ...] | None:
        return self._names or _named_by(self._network)

    @property
    def _reporter(self) -> Reporter:
        return self.reporter or SILENT

    def _start_of(self, depth: Depth | None) -> _Start:
        """A cut copy of the given network, to which nothing is fitted; kept until a fit takes it,
        the network or a setting changes, or photos of another depth come."""
        logistic = self.training is None and self.algorithm != "sgd"
        settings = (self.algorithm, self.extraction, self.reporter)
        made_from = (state_of(self.network), settings)
        start = self._start
        if (
            start is None
            or start.made_from != made_from
            or not start.plan.is_current()
            or (start.may_be_logistic != logistic and (logistic or start.plan.layer is not None))
            or (depth is not None and preprocessing_of(start.plan.network).depth != depth)
        ):
            network = trainable_copy(self.network)
            if depth is not None and preprocessing_of(network).depth != depth:
                set_depth(network, depth)
            start = self._start = _Start(self._new_plan(network), logistic, made_from)
        return start

    def _new_plan(self, network: nn.Module) -> Plan:
        require_setting("fit", self.algorithm)
        if self.algorithm == "logistic" and self.training is not None:
            raise ConfigError(
                "`training` has no effect on a head that is fitted by logistic regression.",
                next="Leave it out, or pass algorithm='sgd'.",
            )
        plan = Plan(
            network,
            preprocessing_of(network),
            self.extraction or Extraction(),
            logistic=self.training is None and self.algorithm != "sgd",
            reporter=self._reporter,
        )
        settled(self.algorithm, (), is_linear=plan.layer is not None)
        return plan

    def _answers(self, images: Images) -> tuple[Answers, NDArray[np.float32]]:
        """The same as `answers`, and calibrated probabilities `n k`; any number of threads may ask,
        also while another one fits."""
        self._require_fitted()
        images = listed(images)
        with _PLANS:
            plan, statistics, k = self.plan, self.statistics_, len(self.class_names)
        if not len(images):
            empty = np.empty((0, k), np.float32)
            return Answers(empty, None, {}), empty
        paths, unreadable = image_files(images), dict[Path, str]()
        if paths is None:
            rows = plan.rows_exactly(fitted_images(images, self.preprocessing))
        else:
            self._tell_of_depth(paths)
            gathered = plan.judging_rows(paths, keep=False)
            rows, unreadable = gathered.rows, gathered.unreadable
        logits = plan.logits_of(rows) if len(rows) else torch.empty(0, k)
        probabilities: NDArray[np.float32] = (
            (logits / temperature_of(statistics)).softmax(1).numpy()
        )
        return Answers(logits.numpy(), ood_of(statistics, rows), unreadable), probabilities

    def _answers_to_all(self, images: Images) -> tuple[Answers, NDArray[np.float32]]:
        answers, probabilities = self._answers(images)
        if answers.unreadable:
            where, reason = next(iter(answers.unreadable.items()))
            raise ImageError(f"{where} cannot be read: {reason}", file=str(where))
        return answers, probabilities

    def _depth_of(self, train: Split) -> Depth:
        """What is black and white in photos of more than 8 bits, by the training photos."""
        if train.depth is not None:
            return train.depth
        extents = extents_of(train.paths)
        depth = depth_of(extents.values())
        for note in depth_notes(depth, train.paths, extents):
            self._reporter.note(str(note))
        return depth

    def _tell_of_depth(self, paths: Sequence[Path]) -> None:
        """Note photos whose values lie beyond those of the training photos."""
        for note in misfit_notes(self.preprocessing.depth, extents_of(paths).values()):
            self._reporter.note(str(note))

    def _as_split(
        self, images: Split | Sequence[Path | str], labels: Sequence[Any] | None
    ) -> Split:
        are_named = self._known_classes is not None
        return labelled(images, labels, self.class_names, are_named=are_named)


def _named_by(network: nn.Module) -> tuple[str, ...] | None:
    origin = info(network).origin
    return None if origin is None else origin.classes


def _numbered(network: nn.Module) -> tuple[str, ...]:
    return tuple(str(i) for i in range(num_outputs(network)))
