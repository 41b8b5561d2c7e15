"""A request: what `budwood train` is asked for."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from budwood.learning.training import Training
from budwood.surgery.graft_recipes import GraftRecipe


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `budwood train` is asked for."""

    data: Path
    """Folder or CSV file of photos."""
    model: str = "efficientnet_lite0"
    """Name of the backbone."""
    weights: str = "imagenet"
    """Published weights, a file, or none."""
    aux_heads: bool = False
    """Whether the auxiliary classifiers of GoogLeNet and Inception are kept and trained."""
    graft: GraftRecipe | None = None
    """The network, if it is put together from layers; `model` is then only what it is called."""
    recipe: str | None = None
    """Name of the recipe that asks for this."""
    surgery: tuple[tuple[str, str], ...] = ()
    """("freeze" or "unfreeze", glob) pairs, applied in order after all but the head is frozen."""
    head: str = "linear"
    """`linear` or `mlp:2048,1024`."""
    epochs: int | None = None
    """Passes over the photos; None, with no other setting of training, solves a linear head."""
    lr: float | None = None
    """Peak learning rate."""
    batch_size: int | None = None
    """Photos in a step."""
    optimizer: str | None = None
    """adamw, adam or sgd."""
    schedule: str | None = None
    """cosine or constant."""
    patience: int | None = None
    """Epochs without a better validation loss before training stops."""
    test: Path | None = None
    """Another folder that is the test set."""
    val: float = 0.0
    """Share of the training photos set aside for early stopping."""
    test_fraction: float = 0.2
    """Share of the photos that is the test set where the folder has none."""
    kfold: int | None = None
    """Folds of a cross-validation beside the training; None: there is none."""
    learning_curve: bool = False
    """Whether it is said what more photos would bring."""
    abstain: float | None = None
    """The rate of error that answered test photos are to have at most; None answers all."""
    group: str | None = None
    """Column of the CSV file by which photos are kept on one side; None takes `group`."""
    precision: str = "auto"
    """Arithmetic of the trunk."""
    device: str = "cpu"
    """Where it runs."""
    size: int | None = None
    """Another input size."""
    seed: int = 0
    """Seeds split, head, order and dropout."""
    strict: bool = False
    """Whether a single broken photo is an error."""
    store_limit: int | None = None
    """Bytes that the feature store may take."""
    out: Path | None = None
    """The run's folder."""
    replace: bool = False
    """Whether an earlier run there is replaced."""
    report: bool = True
    """Whether a report is written into it."""

    @property
    def training(self) -> Training | None:
        """How the graft is trained; None if a linear head is to be solved.

        Raises:
            ConfigError: If a setting is impossible.
        """
        names = ("epochs", "lr", "batch_size", "optimizer", "schedule", "patience")
        given = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        if not given and self.head == "linear":
            return None
        return Training(seed=self.seed, **given)

    def to_json(self) -> dict[str, Any]:
        """The request as plain JSON values."""
        plain = asdict(replace(self, graft=None)) | {"graft": self.graft and self.graft.to_json()}
        return plain | {n: str(v) for n, v in plain.items() if isinstance(v, Path)}
