"""The usual loop over a frozen network against `budwood train`, on the same photos, in one run.

The usual loop is the course's: decode every photo and run the whole network on it in every epoch,
in fp32, train the last layer with Adam, then measure both sets. It is timed on a share of the
photos (`--share`) and scaled linearly to all of them and to ten epochs. Budwood is timed as a whole
process with an empty store, from start to test accuracy.

    python benchmarks/usual_loop.py [--short] [--data FOLDER] [--repeats N]

FOLDER holds `flowers/train` and `flowers/val` (default: BUDWOOD_DATA).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, Subset

import budwood

EPOCHS = 10


def usual_loop(train: Path, test: Path, share: float) -> dict[str, float]:
    """Seconds that ten epochs and the measurement of both sets would take."""
    scale = torchvision.transforms.Normalize([0.5] * 3, [0.5] * 3)
    steps = [torchvision.transforms.Resize((224, 224)), torchvision.transforms.ToTensor(), scale]
    sets = [
        torchvision.datasets.ImageFolder(str(folder), torchvision.transforms.Compose(steps))
        for folder in (train, test)
    ]
    parts = [
        Subset(photos, torch.randperm(len(photos))[: int(share * len(photos))].tolist())
        for photos in sets
    ]
    network = budwood.build("efficientnet_lite0", classes=len(sets[0].classes))
    for parameter in network.parameters():
        parameter.requires_grad = False
    for parameter in network.classifier.parameters():
        parameter.requires_grad = True
    optimizer = torch.optim.Adam(p for p in network.parameters() if p.requires_grad)
    network.train()
    started = time.perf_counter()
    for images, labels in DataLoader(parts[0], 32, shuffle=True):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    epoch = (time.perf_counter() - started) * len(sets[0]) / len(parts[0])
    network.eval()
    started = time.perf_counter()
    with torch.no_grad():
        for part in parts:
            for images, _ in DataLoader(part, 32):
                network(images)
    photos = sum(map(len, sets)) / sum(map(len, parts))
    measuring = (time.perf_counter() - started) * photos
    return {"epoch": epoch, "measuring": measuring, "total": EPOCHS * epoch + measuring}


def budwood_train(data: Path) -> dict[str, float]:
    """Seconds of a whole `budwood train` with an empty store, and what it reached."""
    with tempfile.TemporaryDirectory() as home:
        command = [Path(sys.executable).with_name("budwood"), "train", data, "--json"]
        started = time.perf_counter()
        done = subprocess.run(
            [*map(str, command), "--out", f"{home}/run"],
            env={**os.environ, "BUDWOOD_HOME": home},
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - started
    result = json.loads(done.stdout)
    return {"total": seconds, "top1": result["test"]["top1"]}


def main() -> None:
    """Alternate the two, print one JSON object and a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BUDWOOD_DATA"))
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="One repeat, a twentieth.")
    options = parser.parse_args()
    if options.data is None:
        sys.exit("Name the photos with --data or BUDWOOD_DATA.")
    if options.short:
        options.share, options.repeats = 0.05, 1
    flowers = options.data / "flowers"
    usual, ours = [], []
    for _ in range(options.repeats):
        usual.append(usual_loop(flowers / "train", flowers / "val", options.share))
        ours.append(budwood_train(flowers))
    ratios = [a["total"] / b["total"] for a, b in zip(usual, ours, strict=True)]
    print(
        json.dumps(
            {
                "photos": "flowers, 2569 + 550",
                "network": "efficientnet_lite0",
                "epochs": EPOCHS,
                "share_measured": options.share,
                "usual_loop": usual,
                "budwood": ours,
                "ratio": statistics.median(ratios),
            }
        )
    )
    print(
        f"usual loop {statistics.median(u['total'] for u in usual):8.0f} s (scaled from a share)\n"
        f"budwood    {statistics.median(o['total'] for o in ours):8.1f} s\n"
        f"ratio      {statistics.median(ratios):8.1f}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
