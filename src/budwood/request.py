"""A request: what `budwood train` is asked for."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from budwood.display import displayed
from budwood.grafting.graft_recipes import GraftRecipe
from budwood.learning.algorithms import (
    TRAINING,
    Algorithm,
    Asked,
    asks_for_epochs,
    given_options,
    require_asked,
    settled,
)
from budwood.learning.training import Training


@displayed
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
    fit: Asked = "auto"
    """By which algorithm what trains is fitted: `logistic` regression of a linear head, `sgd`, or
    `auto`, which takes the first where only such a head trains and no `epochs` are asked for."""
    epochs: int | None = None
    """Passes over the photos."""
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

    def __post_init__(self) -> None:
        require_asked(self.fit)

    @property
    def training(self) -> Training:
        """How what trains is trained, where that is not a linear head that is fitted.

        Raises:
            ConfigError: If a setting is impossible.
        """
        given = {n: getattr(self, n) for n in TRAINING if getattr(self, n) is not None}
        return Training(seed=self.seed, **given)

    @property
    def may_be_fitted(self) -> bool:
        """Whether a linear head that trains alone is fitted by logistic regression."""
        return not asks_for_epochs(self.fit, given_options(vars(self)))

    def algorithm(self, *, is_linear: bool) -> Algorithm:
        """By what the network is fitted.

        Args:
            is_linear: Nothing but one linear layer trains, behind what is frozen.

        Raises:
            ConfigError: If it cannot be as asked, or an option would have no effect.
        """
        return settled(self.fit, given_options(vars(self)), is_linear=is_linear)

    def to_json(self) -> dict[str, Any]:
        """The request as plain JSON values."""
        plain = asdict(replace(self, graft=None)) | {"graft": self.graft and self.graft.to_json()}
        return plain | {n: str(v) for n, v in plain.items() if isinstance(v, Path)}
