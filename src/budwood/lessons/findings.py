"""What the lesson on degradation showed: figures, and words that follow from them."""

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

from budwood.display import displayed
from budwood.learning.training import Epoch, Training

NOTICED = 0.05
"""Differences of the loss below this are taken for chance, in nats."""


@displayed
@dataclass(frozen=True)
class Trained:
    """One of the networks and how its training went."""

    name: str
    layers: int
    has_shortcuts: bool
    parameters: int
    history: tuple[Epoch, ...]
    error: float
    """Share of the training photos that the trained network gets wrong."""
    seconds: float

    @property
    def loss(self) -> float:
        """Mean training loss of the last epoch, in nats."""
        loss: float = self.history[-1]["loss"]
        return loss

    def to_json(self) -> dict[str, Any]:
        """An element of `networks` in the object of `lesson degradation --json`."""
        return {
            "name": self.name,
            "layers": self.layers,
            "shortcuts": self.has_shortcuts,
            "parameters": self.parameters,
            "loss": self.loss,
            "error": self.error,
            "seconds": self.seconds,
            "epochs": list(self.history),
        }


@displayed
@dataclass(frozen=True)
class Degradation:
    """What the four trainings showed."""

    data: str
    classes: tuple[str, ...]
    photos: int
    training: Training
    networks: tuple[Trained, ...]
    """Plain ones first, of 20 layers before 56."""
    chart: Path

    @property
    def steps(self) -> int:
        """Steps of each training; a photo that is left alone joins the batch before it."""
        whole, left = divmod(self.photos, self.training.batch_size)
        return self.training.epochs * (whole + (left > 1))

    @property
    def chance(self) -> float:
        """The loss of who gives every class the same probability."""
        return log(len(self.classes))

    @property
    def finding(self) -> str:
        """What the final losses say, in words; nothing in it is known beforehand."""
        plain20, plain56, residual20, residual56 = (network.loss for network in self.networks)
        plain, residual = plain56 - plain20, residual56 - residual20
        said = (
            f"Without shortcuts 56 layers end at a training loss of {plain56:.2f}, 20 layers at "
            f"{plain20:.2f}; with shortcuts at {residual56:.2f} and {residual20:.2f}."
        )
        if plain < NOTICED:
            return f"{said} So no degradation shows here: the deeper plain network is not worse."
        if residual < NOTICED:
            return f"{said} So depth harms the plain network and not the one with shortcuts."
        if residual < plain:
            return f"{said} So depth harms both, and the one with shortcuts less."
        return f"{said} So depth harms both, and the shortcuts are no help here."

    def to_json(self) -> dict[str, Any]:
        """The object of `lesson degradation --json`; see docs/json.md."""
        training = self.training
        return {
            "lesson": "degradation",
            "data": self.data,
            "classes": list(self.classes),
            "photos": self.photos,
            "training": {
                "epochs": training.epochs,
                "steps": self.steps,
                "batch_size": training.batch_size,
                "optimizer": training.optimizer,
                "lr": training.lr,
                "schedule": training.schedule,
                "weight_decay": training.weight_decay,
                "seed": training.seed,
            },
            "chance_loss": self.chance,
            "networks": [network.to_json() for network in self.networks],
            "finding": self.finding,
            "chart": str(self.chart),
        }

    def __str__(self) -> str:
        rows = [
            f"  {network.name:<15} {'yes' if network.has_shortcuts else 'no':>9} "
            f"{network.parameters:>11,} {network.loss:>14.3f} {network.error:>15.3f} "
            f"{network.seconds:>8.0f}"
            for network in self.networks
        ]
        return "\n".join(
            [
                f"Four networks, each trained from nothing on the same {self.photos} photos of "
                f"{len(self.classes)} classes, {self.steps} steps.",
                "",
                "  network         shortcuts  parameters  training loss  training error  seconds",
                *rows,
                "",
                self.finding,
                f"Guessing has a loss of {self.chance:.2f}. Differences below {NOTICED} are taken "
                "for chance; another --seed shows how much is.",
                "The paper trained 64,000 steps of 128 photos: this is the beginning of it.",
                f"Chart: {self.chart}",
            ]
        )
