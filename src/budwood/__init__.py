"""Transfer learning for image classification: fast on the machine you have, honest, readable.

>>> import budwood as bw
>>> network = bw.build("efficientnet_lite0", classes=["cat", "dog"])
>>> print(bw.summarize(network, depth=1).trainable_share)
1.0
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from budwood.capsule.verify import verify as verify
    from budwood.classifier import Classifier as Classifier
    from budwood.classifier import load as load
    from budwood.course.recipes import load_recipe as load_recipe
    from budwood.data.folder import ImageFolder as ImageFolder
    from budwood.data.folder import Split as Split
    from budwood.data.folder import load_folder as load_folder
    from budwood.drawing.network_drawing import draw as draw
    from budwood.errors import BudwoodError as BudwoodError
    from budwood.evaluation.metrics import Evaluation as Evaluation
    from budwood.features.gathering import Extraction as Extraction
    from budwood.grafting.donors import take as take
    from budwood.grafting.graft_recipes import DonorLayers as DonorLayers
    from budwood.grafting.grafted import graft as graft
    from budwood.grafting.new_layers import NewLayer as NewLayer
    from budwood.images.preprocessing import Preprocessing as Preprocessing
    from budwood.inspection.summarizing import summarize as summarize
    from budwood.intervals import wilson_interval as wilson_interval
    from budwood.learning.probe import Probe as Probe
    from budwood.learning.probe import fit_probe as fit_probe
    from budwood.learning.training import Training as Training
    from budwood.models.building import build as build
    from budwood.models.catalog import list_models as list_models
    from budwood.models.heads import replace_head as replace_head
    from budwood.models.info import info as info
    from budwood.models.info import set_info as set_info
    from budwood.models.loading import load_weights as load_weights
    from budwood.reporter import Reporter as Reporter
    from budwood.surgery.cutting import Cut as Cut
    from budwood.surgery.cutting import cut as cut
    from budwood.surgery.freezing import freeze as freeze
    from budwood.surgery.freezing import select as select
    from budwood.surgery.freezing import unfreeze as unfreeze
    from budwood.tasks.audit import audit as audit
    from budwood.tasks.compare import compare as compare
    from budwood.tasks.doctor import doctor as doctor
    from budwood.tasks.evaluate import evaluate as evaluate
    from budwood.tasks.explain import explain as explain
    from budwood.tasks.predict import predict as predict
    from budwood.tasks.report import report as report
    from budwood.tasks.train import train as train

_HOMES = {
    "Classifier": "classifier",
    "load": "classifier",
    "audit": "tasks.audit",
    "compare": "tasks.compare",
    "doctor": "tasks.doctor",
    "evaluate": "tasks.evaluate",
    "explain": "tasks.explain",
    "report": "tasks.report",
    "train": "tasks.train",
    "Probe": "learning.probe",
    "Extraction": "features.gathering",
    "predict": "tasks.predict",
    "Reporter": "reporter",
    "verify": "capsule.verify",
    "BudwoodError": "errors",
    "ImageFolder": "data.folder",
    "Split": "data.folder",
    "load_folder": "data.folder",
    "Preprocessing": "images.preprocessing",
    "Evaluation": "evaluation.metrics",
    "wilson_interval": "intervals",
    "fit_probe": "learning.probe",
    "Training": "learning.training",
    "build": "models.building",
    "info": "models.info",
    "set_info": "models.info",
    "list_models": "models.catalog",
    "load_recipe": "course.recipes",
    "Cut": "surgery.cutting",
    "cut": "surgery.cutting",
    "take": "grafting.donors",
    "freeze": "surgery.freezing",
    "unfreeze": "surgery.freezing",
    "replace_head": "models.heads",
    "DonorLayers": "grafting.graft_recipes",
    "graft": "grafting.grafted",
    "NewLayer": "grafting.new_layers",
    "draw": "drawing.network_drawing",
    "load_weights": "models.loading",
    "select": "surgery.freezing",
    "summarize": "inspection.summarizing",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'budwood' has no attribute {name!r}")
    return getattr(import_module(f"budwood.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
