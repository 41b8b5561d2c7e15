"""What two checkouts of Budwood answer to the same commands; prints where they differ.

    python tools/compare_checkouts.py OLD NEW [--flowers FOLDER] [--catdog FOLDER]

Both run under this Python, with the same images, seeds and a home of their own: the demo, a
training on each folder, every recipe of the chapter with random weights on a few images, and the
predictions of one capsule that OLD wrote. Seconds, paths and versions are left out. A key that NEW
calls otherwise is listed in `RENAMED` and is no difference; anything else is, and the exit is 1.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

RENAMED = {
    r"(?<![\w])photos(?=$|\.|\[)": "images",
    r"(?<=images\.)skipped$": "unreadable",
    r"penalty$": "l2_strength",
    r"(train|test)_photos$": r"\1_images",
    r"(^|(?<=\.))strange(?=\.|$)": "ood",
    r"called$": "flagged",
    r"answered$": "covered",
    r"(?<=abstain\.)wrong$|(?<=test\.)wrong$": "errors",
    r"(?<=abstain\.test\.)error$": "selective_error",
    r"unsure$": "low_confidence",
    r"truth(?=$|_probability$)": "label",
    r"judged$": "evaluated",
    r"largest_class$": "majority_class_top1",
    r"seconds_a_photo$": "seconds_per_image",
    r"(ties_with_best|is_tie)$": "not_significantly_different",
    r"on_front$": "pareto_optimal",
}
"""What a part of a key's path in OLD is called in NEW, by a regular expression."""
NEW = re.compile(r"(^|\.)probe\.C$")
"""Keys that OLD has not."""
LEFT_OUT = re.compile(
    r"(^|\.)(\w*seconds\w*|run|report|card|file|data|folder|version|store|engine|speed|"
    r"notes|reason|next|saved|config)(\.|\[|$)"
)
RECIPES = ("vgg16-catdog", "vgg16-graft", "googlenet-flowers", "resnet50-flowers")
RECIPES += ("efficientnet-b7-flowers", "lite0-flowers")
CLOSE = 1e-4
"""Numbers that differ by less are the same: sums in another order."""


def main() -> int:
    options = _options()
    differences = 0
    with tempfile.TemporaryDirectory() as place:
        few = {name: _few(folder, Path(place) / name) for name, folder in options.folders}
        capsule = Path(place) / "capsule"
        _run(options.old, Path(place), ["train", str(few["flowers"]), "--out", str(capsule)])
        for title, arguments in _commands(dict(options.folders), few, capsule):
            if not re.search(options.only, title):
                continue
            answers = [
                dict(_flat(_run(checkout, Path(place), arguments)))
                for checkout in (options.old, options.new)
            ]
            found = list(_differences(*answers))
            differences += len(found)
            print(f"{title}: {len(answers[0])} values, {len(found)} differ", flush=True)
            for line in found[:40]:
                print("   ", line)
    print("no differences" if not differences else f"{differences} differences")
    return int(differences > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    data = Path(os.environ.get("BUDWOOD_DATA", "data"))
    parser.add_argument("--flowers", type=Path, default=data / "flowers")
    parser.add_argument("--only", default="", help="A part of the names of the commands to run.")
    parser.add_argument("--catdog", type=Path, default=data / "catdog")
    options = parser.parse_args()
    options.folders = [("flowers", options.flowers), ("catdog", options.catdog)]
    return options


def _few(folder: Path, target: Path, number: int = 12) -> Path:
    """A copy with so many images of each class in each part."""
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        for name in sorted(path for path in part.iterdir() if path.is_dir()):
            (target / part.name / name.name).mkdir(parents=True)
            for image in sorted(name.iterdir())[:number]:
                shutil.copy(image, target / part.name / name.name / image.name)
    return target


def _commands(
    folders: dict[str, Path], few: dict[str, Path], capsule: Path
) -> Iterator[tuple[str, list[str]]]:
    yield "demo", ["demo", "--replace"]
    for name, folder in folders.items():
        yield f"train {name}", ["train", str(folder), "--kfold", "3", "--abstain", "0.05"]
    for recipe in RECIPES:
        images = few["catdog" if recipe.startswith("vgg") else "flowers"]
        epochs = [] if recipe == "lite0-flowers" else ["--epochs", "1"]
        command = ["recipe", "run", recipe, "--data", str(images), "--weights", "none"]
        yield recipe, [*command, "--precision", "fp32", *epochs]
    images = str(few["flowers"])
    yield "evaluate a capsule", ["evaluate", str(capsule), images]
    yield "predict with a capsule", ["predict", str(capsule), images, "--top", "5"]
    yield "compare", ["compare", images, "--models", "efficientnet_lite0"]
    yield "audit", ["audit", images]


def _run(checkout: Path, place: Path, arguments: list[str]) -> object:
    """What the checkout answers with --json."""
    home = place / f"home-{checkout.resolve().name}"
    environment = dict(os.environ, PYTHONPATH=str(checkout / "src"), BUDWOOD_HOME=str(home))
    out = ["--out", str(place / "out")] if arguments[0] in ("train", "recipe") else []
    if "--out" in arguments:
        out = []
    shutil.rmtree(place / "out", ignore_errors=True)
    command = [sys.executable, "-m", "budwood", *arguments, *out, "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=place)
    if ended.returncode:
        raise SystemExit(f"{checkout}: {' '.join(arguments)}\n{ended.stdout}\n{ended.stderr}")
    return json.loads(ended.stdout.replace(str(home), "HOME"))


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if LEFT_OUT.search(path):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{i}]")
    else:
        yield path, value


def _differences(old: dict[str, object], new: dict[str, object]) -> Iterator[str]:
    expected = {_renamed(path): value for path, value in old.items()}
    for path in sorted(expected.keys() | new.keys()):
        if path not in new:
            yield f"{path}: {expected[path]!r} is gone"
        elif path not in expected:
            if NEW.search(path):
                continue
            yield f"{path}: {new[path]!r} is new"
        elif not _same(expected[path], new[path]):
            yield f"{path}: {expected[path]!r} became {new[path]!r}"


def _renamed(path: str) -> str:
    for pattern, replacement in RENAMED.items():
        path = re.sub(pattern, replacement, path)
    return path


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return one == other


if __name__ == "__main__":
    sys.exit(main())
