"""Why ResNet has shortcuts: deeper plain networks learn even their training photos worse."""

import dataclasses
import time
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np

from budwood.course.curves import Curve, draw_curves
from budwood.course.surfaces import draw_surfaces
from budwood.data.folder import ImageFolder, leave_out_unreadable, load_folder, unreadable_lines
from budwood.data.splits import Split
from budwood.data.splitting import set_aside
from budwood.display import displayed
from budwood.errors import ConfigError
from budwood.features.gathering import Extraction
from budwood.files import home, versioned, whole_file, write_json
from budwood.image_classifier import ImageClassifier
from budwood.learning.training import Epoch, Training
from budwood.models.building import build
from budwood.models.info import set_depth
from budwood.reporter import SILENT, Reporter
from budwood.run_folders import mark, require_no_file, require_outside, require_writable, writing_to

NOTICED = 0.05
"""Differences of the loss below this are taken for chance, in nats."""


@displayed
@dataclass(frozen=True)
class TrainedNetwork:
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
    images: int
    training: Training
    networks: tuple[TrainedNetwork, ...]
    """Plain ones first, of 20 layers before 56."""
    chart: Path

    @property
    def steps(self) -> int:
        """Steps of each training; a photo that is left alone joins the batch before it."""
        whole, left = divmod(self.images, self.training.batch_size)
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
            "images": self.images,
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
                f"Four networks, each trained from nothing on the same {self.images} photos of "
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


NETWORKS = {
    "plain20_cifar": (20, False),
    "plain56_cifar": (56, False),
    "resnet20_cifar": (20, True),
    "resnet56_cifar": (56, True),
}
"""What is trained: layers, and whether there are shortcuts. With and without, the weights of equal
depth begin with the same numbers, because these shortcuts have no weights of their own."""

EPOCHS = 15
"""Passes over the photos, by default."""
IMAGES = 500
"""Photos that are trained on, by default."""


def show_degradation(
    data: Path | str | None = None,
    folder: Path | str = "lessons",
    *,
    epochs: int = EPOCHS,
    images: int = IMAGES,
    seed: int = 0,
    replace: bool = False,
    reporter: Reporter = SILENT,
) -> Degradation:
    """Train plain and residual networks of 20 and 56 layers from nothing, and draw their curves.

    All four see the same photos at 32 x 32 pixels, in the same batches, at the same learning
    rates. `folder` then holds `degradation.svg` and `degradation.json`. It is the training loss
    that is compared: a deeper network that overfits would have the lower one.

    Args:
        data: Photos as `load_folder` takes them; default: the pictures of the demo.
        folder: For the chart and the figures.
        epochs: Passes over the photos.
        images: Use about so many of the training photos, the same share of each class.
        seed: Of the weights, the choice of photos and their order.
        replace: Whether the figures of an earlier lesson there are replaced.
        reporter: Told what the user should know, and how far the work is.

    Raises:
        DataError: If nothing can be learned from the data.
        ConfigError: If an option is out of range, or the folder cannot be written.

    Example:
        >>> print(show_degradation("photos/", epochs=40).finding)  # doctest: +SKIP

    Reference: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
    figure 6.
    """
    folder = Path(folder)
    # The paper's recipe, with its learning rate of 0.1 scaled from batches of 128 to 16.
    training = Training(
        epochs=epochs, lr=0.01, optimizer="sgd", weight_decay=1e-4, batch_size=16, seed=seed
    )
    if images < 2:
        raise ConfigError(f"images must be at least 2, got {images}.")
    require_outside(folder, None if data is None else Path(data))
    require_no_file(folder / "degradation.json", replace)
    require_writable(folder)
    found = load_folder(_draw(reporter) if data is None else data, seed=seed)
    found = dataclasses.replace(found, train=_some(found.train, images, seed), val=None, test=None)
    networks: list[TrainedNetwork] = []
    for name in NETWORKS:
        reporter.note(f"Training {name}, {len(networks) + 1} of {len(NETWORKS)}.")
        trained, found = _train(name, found, training, reporter)
        networks.append(trained)
    result = Degradation(
        "surfaces" if data is None else str(data),
        found.classes,
        len(found.train),
        training,
        tuple(networks),
        folder / "degradation.svg",
    )
    with writing_to(folder):
        mark(folder)
        with whole_file(result.chart) as file:
            draw_curves([_curve(network) for network in networks], result.chance, file)
        write_json(folder / "degradation.json", versioned(result.to_json()))
    return result


def _draw(reporter: Reporter) -> Path:
    folder = home() / "lessons" / "surfaces"
    reporter.note(f"Cutting patches out of ten pictures into {folder}.")
    return draw_surfaces(folder)


def _some(split: Split, number: int, seed: int) -> Split:
    """About so many photos of a split, the same share of each class."""
    if number >= len(split):
        return split
    chosen = set_aside(split.labels, number / len(split), seed=seed)
    return split.without([split.paths[i] for i in np.flatnonzero(~chosen)])


def _train(
    name: str,
    images: ImageFolder,
    training: Training,
    reporter: Reporter,
) -> tuple[TrainedNetwork, ImageFolder]:
    """A network after its training, and the photos that could be read."""
    started = time.perf_counter()
    network = build(name, weights="none", classes=images.classes, seed=training.seed)
    set_depth(network, images.depth)
    model = ImageClassifier(
        network,
        training=training,
        # Nothing is frozen: before what trains there is the normalising alone, which costs nothing.
        extraction=Extraction(precision="fp32"),
        reporter=reporter,
    )
    left = leave_out_unreadable(images, model.gather(images.train.paths).unreadable)
    for note in unreadable_lines(images, left):
        reporter.note(note)
    fit = model.fit(left.train).fit_
    assert fit is not None
    layers, has_shortcuts = NETWORKS[name]
    trained = TrainedNetwork(
        name,
        layers,
        has_shortcuts,
        sum(parameter.numel() for parameter in network.parameters()),
        fit.history,
        round(1 - fit.train_top1, 6),
        round(time.perf_counter() - started, 1),
    )
    return trained, left


def _curve(network: TrainedNetwork) -> Curve:
    kind = "residual" if network.has_shortcuts else "plain"
    return Curve(
        f"{kind}, {network.layers} layers",
        tuple(epoch["loss"] for epoch in network.history),
        is_thick=network.has_shortcuts,
        is_dashed=network.layers == min(layers for layers, _ in NETWORKS.values()),
    )
