"""Classifier: what images are classified with, as a scikit-learn estimator."""

import inspect
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin

from budwood.errors import ConfigError
from budwood.features.gathering import Extraction
from budwood.image_classifier import ImageClassifier
from budwood.learning.probe import Probe
from budwood.learning.training import Training

SETTINGS: dict[str, type[Training] | type[Probe] | type[Extraction]] = {
    "training": Training,
    "probe": Probe,
    "extraction": Extraction,
}
"""Parameters of a classifier that have parameters themselves, as in `training__lr`."""


class Classifier(ImageClassifier, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn estimator that classifies images.

    What is frozen in the network runs once per image and is stored; the rest is fitted. A linear
    head that trains alone is fitted by logistic regression (`fit_probe`), anything else is trained
    on mini-batches; `algorithm` or `training` ask for one of the two by name.

    `fit` leaves the network as it is: it begins with a copy of what trains, shares what is frozen,
    and gives the fitted network as `network_`.

    Args:
        network: From `build`, frozen as it should be; or any module with a preprocessing
            (`set_info`).
        training: Epochs, optimizer and so on of mini-batch training; asks for it where it is given.
        probe: How a linear head is fitted.
        extraction: Precision, device and store limit of the frozen part.
        reporter: Hears what the user should know, and how far the work is.
        algorithm: `logistic`, `sgd`, or `auto`: logistic regression where it can be.

    Attributes:
        network_: The fitted network.
        classes_: The classes as an array, in the order of the outputs: numbers if it was fitted to
            numbers, else names.
        fit_: What fitting did; None of a classifier that was loaded.
        statistics_: What held-out images say of it; None where that is not known.

    Example:
        >>> from budwood import build, freeze, unfreeze
        >>> network = build("efficientnet_lite0", classes=["cat", "dog"])
        >>> model = Classifier(unfreeze(freeze(network, "*"), "classifier"))
        >>> model.class_names
        ('cat', 'dog')
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that this classifier was made with; deep: and what those consist of, as
        `training__lr`."""
        params: dict[str, Any] = super().get_params(deep=False)
        for name in SETTINGS if deep else ():
            if is_dataclass(value := params[name]):
                params |= {f"{name}__{f.name}": getattr(value, f.name) for f in fields(value)}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change some of them, for the next fit. Parts may be named: `training__lr=0.01`.

        Raises:
            ConfigError: If one is not called so.
        """
        parts: dict[str, dict[str, Any]] = {}
        own = list(inspect.signature(type(self)).parameters)
        for name, value in params.items():
            whole, _, part = name.partition("__")
            made = SETTINGS.get(whole)
            if name in own:
                setattr(self, name, value)
            elif made is not None and part in (known := [f.name for f in fields(made)]):
                parts.setdefault(whole, {})[part] = value
            else:
                raise ConfigError(
                    f"Classifier has no parameter {name!r}.",
                    expected=f"It has {', '.join(own)}."
                    if made is None
                    else f"{whole} has {', '.join(known)}.",
                )
        for whole, values in parts.items():
            given = getattr(self, whole)
            setattr(
                self,
                whole,
                SETTINGS[whole](**values) if given is None else replace(given, **values),
            )
        return self


def load(path: Path | str, **options: Any) -> Classifier:
    """The classifier in a capsule.

    Args:
        path: The file, or the folder of a run.
        options: What `Classifier` takes beside the network.

    Raises:
        CapsuleError: If there is none, or it is damaged or not one of ours.
    """
    return Classifier.load(path, **options)
