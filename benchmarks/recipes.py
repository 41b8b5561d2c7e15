"""All worked examples of the chapter from end to end, with random weights: do they run as designed?

    python benchmarks/recipes.py [--short] [--data FOLDER]

Accuracies mean nothing here; what counts is that each runs, that what is frozen is proven
unchanged, and what crosses from trunk to graft. Prints one JSON object. The heavy arithmetic is
done on few photos of each class; `--short` takes eight of each class everywhere. FOLDER holds
`flowers` and `catdog` (default: BUDWOOD_DATA).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUDWOOD = Path(sys.executable).with_name("budwood")
RECIPES = {
    "vgg16-catdog": ("catdog", "3", None),
    "vgg16-graft": ("catdog", "1", 200),
    "googlenet-flowers": ("flowers", "3", None),
    "resnet50-flowers": ("flowers", "3", None),
    "efficientnet-b7-flowers": ("flowers", "3", 40),
    "lite0-flowers": ("flowers", None, None),
}
"""The photos of each recipe, epochs, and how many photos of a class; None: as in the recipe."""


def subset(folder: Path, per_class: int, place: Path) -> Path:
    """A copy of a folder of photos with so many of each class in each part."""
    for part in folder.iterdir():
        for name in part.iterdir():
            target = place / folder.name / part.name / name.name
            target.mkdir(parents=True)
            for image in sorted(name.iterdir())[:per_class]:
                shutil.copy(image, target / image.name)
    return place / folder.name


def run(name: str, data: Path, epochs: str | None, home: Path) -> dict[str, object]:
    """What one recipe gave."""
    options = ["--weights", "none", "--epochs", epochs] if epochs else []
    done = subprocess.run(
        [BUDWOOD, "recipe", "run", name, "--data", data, *options, "--out", home / name, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "BUDWOOD_HOME": str(home)},
        check=False,
    )
    result = json.loads(done.stdout)
    if done.returncode:
        return {"recipe": name, "error": result}
    frontier = re.search(r"frontier: (.+) \(", done.stderr)
    return {
        "recipe": name,
        "frontier": frontier and frontier[1],
        "frozen_unchanged": result["frozen_unchanged"],
        "images": result["images"],
        "parameters": result["parameters"],
        "epochs": len(result["epochs"]),
        "test_top1": result["test"]["top1"],
        "weights": result["weights"],
        "precision": result["precision"],
        "seconds": result["seconds"],
    }


def main() -> None:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--data", type=Path, default=os.environ.get("BUDWOOD_DATA"))
    asked = parser.parse_args()
    if asked.data is None:
        sys.exit("Name the photos with --data or BUDWOOD_DATA.")
    rows = []
    for name, (images, epochs, per_class) in RECIPES.items():
        with tempfile.TemporaryDirectory() as place:
            data = Path(asked.data, images).resolve()
            few = 8 if asked.short else per_class
            chosen = data if few is None else subset(data, few, Path(place))
            rows.append(run(name, chosen, epochs, Path(place, "home")))
        print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps({"recipes": rows}))
    sys.exit(any("error" in row for row in rows))


if __name__ == "__main__":
    main()
