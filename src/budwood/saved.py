"""Saved classifiers, loaded: what is in a capsule, as a classifier."""

from pathlib import Path
from typing import Any

from budwood.capsule.pack import Capsule, read_capsule
from budwood.classifier import Classifier, fitted_classifier
from budwood.grafting.grafted import regraft
from budwood.models.building import rebuild
from budwood.models.info import set_info
from budwood.models.states import load_state
from budwood.surgery.freezing import freeze, unfreeze


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
    set_info(network, preprocessing=capsule.preprocessing)
    freeze(network, "*")
    unfreeze(network, *capsule.trainable)
    return fitted_classifier(network, capsule.classes, capsule.trust, **options)
