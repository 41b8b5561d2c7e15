"""The one training loop: it trains a graft on frontier rows, wherever they come from."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from math import cos, isfinite, pi
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from budwood.display import displayed
from budwood.errors import ConfigError, DataError
from budwood.features.rows import RowSource
from budwood.fields import Checked, setting
from budwood.learning.optimizers import FusedOptimizer
from budwood.learning.step_trials import Precision, settle_precision, settle_threads
from budwood.reporter import SILENT, Reporter
from budwood.settings import Optimizer, Schedule, Settings, given_settings, same
from budwood.tensors import Labels
from budwood.threads import one_torch_thread

AUXILIARY_WEIGHT = 0.3
"""Share of each auxiliary classifier's loss (Szegedy et al., "Going Deeper with Convolutions")."""

Epoch = dict[str, Any]
"""One row of the history: epoch, loss, lr, seconds, and on validation photos val_loss, val_top1."""


@displayed
@dataclass(frozen=True, kw_only=True)
class Training(Checked):
    """How a graft is trained on mini-batches; `Settings` says what each field means."""

    epochs: int = same("epochs")
    lr: float = same("lr")
    optimizer: Optimizer = same("optimizer")
    schedule: Schedule = same("schedule")
    weight_decay: float = setting(0.01, "Decay of the weights; not used by Adam.", at_least=0)
    batch_size: int = same("batch_size")
    patience: int | None = same("patience")
    seed: int = same("seed")
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto",
        "Arithmetic of the products in a step; auto is bf16 for convolutions where a trial on the "
        "first batch shows that it agrees with fp32 and is faster. Weights stay float32.",
    )

    @classmethod
    def of(cls, settings: Settings) -> "Training":
        """What settings ask for, and the defaults for the rest."""
        return cls(**given_settings(cls, settings))


def train_graft(
    graft: nn.Module,
    rows: RowSource,
    labels: Labels,
    config: Training,
    validate: Callable[[], tuple[float, float]] | None = None,
    reporter: Reporter = SILENT,
) -> list[Epoch]:
    """Train what requires a gradient in the graft; gives back the history, one dict an epoch.

    With `validate` and `config.patience`, the graft ends with the weights of its best epoch.

    Args:
        graft: A tuple of frontier tensors to logits `n k`, or to a tuple of logits and those of
            auxiliary classifiers. Edited in place.
        rows: The frontier of the training photos.
        labels: Their classes.
        config: Epochs, optimizer and so on.
        validate: Gives loss and top-1 on photos that are not trained on.
        reporter: Told what the user should know, and how far the work is.
    """
    parameters = [p for p in graft.parameters() if p.requires_grad]
    if not parameters:
        raise ConfigError("0 parameters train.", next="Unfreeze at least the head.")
    if config.patience is not None and validate is None:
        raise ConfigError(
            "patience needs validation photos.", next="Add a val folder or --val 0.1."
        )
    optimizer = FusedOptimizer(parameters, config.optimizer, config.weight_decay)
    best = _Best(graft)
    history: list[Epoch] = []
    order = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        precision, threads = _settled(graft, rows, labels, config, reporter)
        torch.default_generator.manual_seed(config.seed)
        for epoch in range(1, config.epochs + 1):
            started = time.perf_counter()
            lr = _rate(config, epoch)
            with threads():
                loss = _one_epoch(
                    graft, rows, labels, optimizer, lr, config.batch_size, order, precision
                )
            row: Epoch = {"epoch": epoch, "loss": loss, "lr": lr, "precision": precision}
            _require_finite(loss, "loss", epoch)
            if validate is not None:
                row["val_loss"], row["val_top1"] = validate()
                _require_finite(row["val_loss"], "validation loss", epoch)
                row["best"] = best.improved(row["val_loss"])
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            reporter.epoch(row)
            if config.patience is not None and best.epochs_since >= config.patience:
                break
    if config.patience is not None:
        best.restore()
    return history


def batches(n: int, size: int, order: torch.Generator) -> Iterator[Tensor]:
    """Positions 0 to n - 1 in random order, in batches; never a batch of one (batch norm fails).

    But for `size` 1, or a single photo: then there is no other way.

    Example:
        >>> [len(batch) for batch in batches(9, 4, torch.Generator())]
        [4, 5]
    """
    positions = torch.randperm(n, generator=order)
    starts = list(range(0, n, size))
    if n > size and n % size == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        yield positions[start:end]


def _settled(
    graft: nn.Module,
    rows: RowSource,
    labels: Labels,
    config: Training,
    reporter: Reporter,
) -> tuple[Precision, Callable[[], AbstractContextManager[None]]]:
    """In which arithmetic, and on which threads, the steps of this training run."""
    steps = config.epochs * -(-len(rows) // config.batch_size)

    @cache
    def first() -> tuple[tuple[Tensor, ...], Labels]:
        order = torch.Generator().manual_seed(config.seed)
        batch = next(batches(len(rows), config.batch_size, order))
        return rows.take(batch.tolist()), labels[batch]

    def loss(precision: Precision) -> Tensor:
        return _loss(graft, *first(), precision)

    graft.train()
    precision = settle_precision(graft, loss, steps, config.precision, reporter)
    is_alone = settle_threads(graft, loss, steps, config.batch_size)
    return precision, one_torch_thread if is_alone else nullcontext


def _loss(
    graft: nn.Module, rows: tuple[Tensor, ...], labels: Labels, precision: Precision
) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        return total_loss(graft(rows), labels)


def total_loss(outputs: Tensor | Sequence[Tensor | None], labels: Labels) -> Tensor:
    """Cross entropy of the main output plus 0.3 times that of each auxiliary classifier."""
    if isinstance(outputs, Tensor):
        return cross_entropy(outputs, labels)
    main, *auxiliary = outputs
    assert main is not None
    loss = cross_entropy(main, labels)
    for logits in auxiliary:
        if logits is not None:
            loss = loss + AUXILIARY_WEIGHT * cross_entropy(logits, labels)
    return loss


def _one_epoch(
    graft: nn.Module,
    rows: RowSource,
    labels: Labels,
    optimizer: FusedOptimizer,
    lr: float,
    batch_size: int,
    order: torch.Generator,
    precision: Precision,
) -> float:
    graft.train()
    total = 0.0
    for batch in batches(len(rows), batch_size, order):
        loss = _loss(graft, rows.take(batch.tolist()), labels[batch], precision)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(lr)
        total += loss.item() * len(batch)
    return total / len(rows)


def _require_finite(loss: float, name: str, epoch: int) -> None:
    if not isfinite(loss):
        raise DataError(f"The {name} is {loss} in epoch {epoch}.", next="Try a lower --lr.")


def _rate(config: Training, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1."""
    if config.schedule == "constant":
        return config.lr
    return config.lr * (1 + cos(pi * (epoch - 1) / config.epochs)) / 2


class _Best:
    """The graft's state in its best epoch so far."""

    def __init__(self, graft: nn.Module) -> None:
        self._graft = graft
        self._loss = float("inf")
        self._state: dict[str, Tensor] = {}
        self.epochs_since = 0

    def improved(self, loss: float) -> bool:
        """Take note of an epoch's validation loss; true if it is the least so far."""
        if loss >= self._loss:
            self.epochs_since += 1
            return False
        self._loss, self.epochs_since = loss, 0
        self._state = {k: v.detach().clone() for k, v in self._graft.state_dict().items()}
        return True

    def restore(self) -> None:
        """Put the best epoch's state back."""
        self._graft.load_state_dict(self._state)
