"""Classifier: a network with classes that is fitted, judged, asked, saved and loaded."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from budwood.capsule import Capsule, read_capsule, write_capsule
from budwood.errors import ConfigError, PhotoError
from budwood.features.extraction import OnProgress
from budwood.features.gathering import Extraction, Gathered
from budwood.features.rows import RowSource, Selected
from budwood.images.given import Photos, fitted_images, labelled, photo_files
from budwood.images.preprocessing import Preprocessing
from budwood.images.splits import Split
from budwood.judging.abstaining import Answering
from budwood.judging.cross_validation import CrossValidation, crossed
from budwood.judging.honesty import Verdict, honesty_of
from budwood.judging.learning_curve import LearningCurve, learning_curve
from budwood.judging.metrics import Evaluation, evaluate_logits
from budwood.judging.trust import Trust, answering_of, learned_trust
from budwood.learning.blocks import FeatureRows, spans
from budwood.learning.fitting import Fit as Fit
from budwood.learning.fitting import fit_plan, require_readable
from budwood.learning.folding import hits_of_folds, require_folds
from budwood.learning.held_out import HeldOut
from budwood.learning.plan import Plan
from budwood.learning.precision_trial import pooled
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.training import Epoch, Training
from budwood.networks.building import origin_of, preprocessing_of, rebuild
from budwood.networks.heads import num_outputs
from budwood.networks.states import load_state
from budwood.packing import packed
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.grafting import regraft
from budwood.tensors import Logits

JUDGED_AT_ONCE = 1024
"""Photos whose features are looked at together, to see which are strange."""


class Classifier:
    """A classifier of photos in scikit-learn's manner.

    What is frozen in the network runs once per photo and is stored; the rest is trained. With
    `training=None` a linear head is solved as logistic regression (`fit_probe`), any other graft
    is trained by `Training()`.

    Args:
        network: From `build`, frozen as it should be; or any module with a `preprocessing`.
        training: Epochs, optimizer and so on; None lets a linear head be solved.
        probe: How that is done.
        extraction: Precision, device and store limit of the frozen part.
        on_note: Told what the user should know, a line each.
        on_progress: Told how far the pass over the photos is.
        on_epoch: Told each epoch's row of the history.

    Example:
        >>> from budwood import build, freeze, unfreeze
        >>> network = build("efficientnet_lite0", classes=["cat", "dog"])
        >>> model = Classifier(unfreeze(freeze(network, "*"), "classifier"))
        >>> model.classes_
        ('cat', 'dog')
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        training: Training | None = None,
        probe: Probe | None = None,
        extraction: Extraction | None = None,
        on_note: Callable[[str], None] = lambda note: None,
        on_progress: OnProgress | None = None,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> None:
        self.network = network
        self.training = training
        self.probe = probe or Probe()
        self.extraction = extraction or Extraction()
        self.on_note = on_note
        self.on_progress = on_progress
        self.on_epoch = on_epoch
        self.fit_: Fit | None = None
        self.trust_: Trust | None = None
        """How far its word can be taken; None before it is fitted, and where that is not known."""
        self._names: tuple[str, ...] | None = None
        self._plan: Plan | None = None

    @property
    def classes_(self) -> tuple[str, ...]:
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
        frozen or unfrozen, or given other weights."""
        if self._plan is None or not self._plan.is_current():
            self._plan = Plan(
                self.network,
                self.preprocessing,
                self.extraction,
                solve=self.training is None,
                on_note=self.on_note,
                on_progress=self.on_progress,
            )
        return self._plan

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this classifier was made with."""
        names = ("training", "probe", "extraction", "on_note", "on_progress", "on_epoch")
        return {"network": self.network} | {name: getattr(self, name) for name in names}

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
        val: Split | None = None,
    ) -> "Classifier":
        """Train what is not frozen. Frozen tensors are proven unchanged at the end.

        Args:
            photos: A split, or the paths of photos.
            labels: The class name of each photo, if `photos` are paths.
            val: Photos that steer early stopping and nothing else.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
            FrozenChanged: If a frozen tensor changed.
        """
        train = self._as_split(photos, labels)
        val = None if val is None else labelled(val, None, train.classes)
        training = self.training or Training()
        self.plan.settle_precision(train)
        fit, held_out, rows = fit_plan(self.plan, train, val, training, self.probe, self.on_epoch)
        self.fit_, self._names = fit, train.classes
        self.trust_ = self._learned_trust(train, held_out, rows)
        return self

    def evaluate(self, split: Split) -> Evaluation:
        """Accuracy with its interval, per class, and the photos it gets wrong.

        Its loss and probabilities are calibrated, as those of `predict_proba`.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
        """
        return self.judge(split).evaluation

    def judge(self, split: Split, abstain: float | None = None) -> Verdict:
        """What `evaluate` gives, and how far its word could be taken on these photos.

        Args:
            split: Labelled photos.
            abstain: The rate of error that answered photos are to have at most; see `Answering`.

        Raises:
            DataError: If a photo is broken, or the classes are not the network's.
            ConfigError: If it cannot abstain, or `abstain` is no rate.
        """
        split = self._as_split(split, None)
        answering = None if abstain is None else self.answering(abstain)
        gathered = require_readable(self.plan.judging_rows(split.paths))
        logits, targets = self.plan.logits(gathered), torch.from_numpy(split.targets)
        return Verdict(
            evaluate_logits(logits / self.temperature, targets, split.classes, split.paths),
            honesty_of(
                self.trust_, logits.numpy(), split.targets, self.strange(gathered), answering
            ),
            (logits.argmax(1) == targets).numpy(),
        )

    def answering(self, rate: float) -> Answering:
        """From which confidence on it answers, so that its error is at most `rate`.

        Raises:
            ConfigError: If it cannot abstain, or `rate` is not between 0 and 1.
        """
        return answering_of(self.trust_, rate)

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
        require_folds(photos, k)
        if self.plan.trial is None:
            self.plan.settle_precision(photos)
        training = self.training or Training()
        return crossed(*hits_of_folds(self.plan, photos, k, training, self.probe, seed))

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

    def score(self, photos: Split | Sequence[Path], labels: Sequence[str] | None = None) -> float:
        """Top-1 accuracy."""
        return self.evaluate(self._as_split(photos, labels)).top1

    def predict(self, photos: Photos) -> NDArray[np.str_]:
        """The name of the most probable class of each photo."""
        best: NDArray[np.str_] = np.array(self.classes_)[self.predict_proba(photos).argmax(1)]
        return best

    def predict_proba(self, photos: Photos) -> NDArray[np.float32]:
        """Calibrated probabilities `n k`, columns in the order of `classes_`.

        Raises:
            PhotoError: If a photo is broken; the error names it.
        """
        logits, broken = self.logits(photos)
        if broken:
            where, reason = next(iter(broken.items()))
            raise PhotoError(f"{where} cannot be read: {reason}", file=str(where))
        probabilities: NDArray[np.float32] = (logits / self.temperature).softmax(1).numpy()
        return probabilities

    def logits(self, photos: Photos) -> tuple[Logits, dict[Path, str]]:
        """Logits of the photos that can be read, in order, and the others with the reason."""
        paths = photo_files(photos)
        if not len(photos):
            return torch.empty(0, len(self.classes_)), {}
        if paths is None:
            return self.plan.answers_exactly(fitted_images(photos, self.preprocessing)), {}
        gathered = self.plan.judging_rows(paths, keep=False)
        return self._logits(gathered), gathered.broken

    def answers(
        self, paths: Sequence[Path]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None, dict[Path, str]]:
        """Logits of the photos that can be read, in order; which of them are of none of the
        classes, if that is known; and the others with the reason."""
        gathered = self.plan.judging_rows(paths, keep=False)
        return self._logits(gathered).numpy(), self.strange(gathered), gathered.broken

    def strange(self, gathered: Gathered) -> NDArray[np.bool_] | None:
        """Which photos are of none of the classes, by their rows; None if that is not known."""
        known = None if self.trust_ is None else self.trust_.familiar
        if known is None:
            return None
        rows = gathered.rows
        parts = spans(len(gathered.paths), JUDGED_AT_ONCE)
        some = (Selected(rows, range(part.start, part.stop)) for part in parts)
        told = [known.is_strange(pooled(each).numpy()) for each in some]
        return np.concatenate([np.empty(0, np.bool_), *told])

    def _logits(self, gathered: Gathered) -> Logits:
        if not gathered.paths:
            return torch.empty(0, len(self.classes_))
        return self.plan.logits(gathered)

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
            golden: Photos to prove it by; default: drawn pictures, so that none of your photos
                leaves with it.

        Raises:
            CapsuleError: If the network was not made by `build`, so that no other machine could
                make it again.
        """
        capsule = packed(
            self.plan,
            self.classes_,
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
        return learned_trust(
            held_out.logits.numpy(),
            held_out.labels,
            train.targets,
            lambda some: pooled(Selected(rows, some.tolist())).numpy(),
        )

    def _as_split(
        self, photos: Split | Sequence[Path | str], labels: Sequence[str] | None
    ) -> Split:
        are_named = self._known_classes is not None
        return labelled(photos, labels, self.classes_, are_named=are_named)


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
