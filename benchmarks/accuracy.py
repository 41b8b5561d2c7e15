"""Does faster arithmetic cost accuracy? bf16 (and int8, where there is one) against fp32.

    python benchmarks/accuracy.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights and a solved linear head, on flowers and on cats and
dogs. For every seed the photos of both parts are pooled and split anew, stratified, in the same
proportion; both arithmetics then train and judge on the same split. The difference is paired; its
95 % interval over the splits is corrected for the photos that they share (`splits.over_splits`). A
claim is met if its lower end is above minus 0.3 points: no loss that matters, and not only none
that was seen. int8 is used only where a trial on the training photos accepts it: `used` says in how
many splits, and in the others it is the arithmetic that it fell back to.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short`: flowers, two seeds.
"""

import csv
import random
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from course_jobs import CATDOG, FLOWERS
from measuring import BUDWOOD, Row, asked_for, call, images_in, options, report, run
from splits import over_splits

SETS = {"flowers": FLOWERS, "catdog": CATDOG}
ALLOWED_LOSS = 0.003
"""Top-1 that faster arithmetic may cost: 0.3 points."""
COLUMNS = (
    "photos", "precision", "used", "fp32_top1", "top1", "difference", "low", "high", "is_met",
)  # fmt: skip


def split_anew(data: Path, parts: tuple[str, str], seed: int) -> list[tuple[Path, str, str]]:
    """Path, label and part of every photo: pooled and split again, each class in proportion."""
    by_class: dict[str, list[Path]] = {}
    for image in images_in(data):
        by_class.setdefault(image.parent.name, []).append(image)
    shuffled = random.Random(seed)
    rows = []
    for label, images in sorted(by_class.items()):
        tests = len(list((data / parts[1] / label).iterdir()))
        shuffled.shuffle(images)
        rows += [(p, label, "test" if i < tests else "train") for i, p in enumerate(images)]
    return rows


def trained(images: str, precision: str, seed: int) -> Row:
    """Which test photos are named rightly after training with this arithmetic, and whether it was
    used: predictions run in bf16, so they are asked of the classifier that was trained."""
    import budwood
    from budwood.features.gathering import Extraction
    from budwood.learning.probe import Probe

    folder = budwood.load_folder(images)
    network = budwood.build("efficientnet_lite0", classes=folder.classes)
    budwood.unfreeze(budwood.freeze(network, "*"), "classifier")
    asked = {"extraction": Extraction(precision=precision), "probe": Probe(seed=seed)}
    model = budwood.Classifier(network, **asked).fit(folder.train)
    gathered = model.gather(folder.test.paths)
    named = model.plan.logits(gathered).argmax(1).numpy()
    return {
        "hits": (named == folder.test.targets).tolist(),
        "used": gathered.engine.precision,
        "top1": model.evaluate(folder.test).top1,
    }


def hits(
    rows: list[tuple[Path, str, str]], place: Path, precision: str, seed: int
) -> tuple[list[bool], bool]:
    """Whether each test photo is named rightly after training with this arithmetic, and whether it
    was used."""
    file = place / "photos.csv"
    with file.open("w", newline="") as text:
        csv.writer(text).writerows([("path", "label", "split"), *rows])
    home = place / f"home-{precision}"
    result = call(trained, home=home, images=file, precision=precision, seed=seed).result
    is_used = result["used"] == precision
    if not is_used and precision != "int8":
        raise RuntimeError(f"{precision} was asked for, {result['used']} was used.")
    if abs(mean(result["hits"]) - result["top1"]) > 1e-6:
        raise RuntimeError("The classifier does not answer as it was judged.")
    return result["hits"], is_used


def compared(
    images: str,
    precision: str,
    pairs: list[tuple[list[bool], list[bool]]],
    used: int,
    train: int,
) -> Row:
    """Accuracies and their paired difference, with its intervals."""
    by_seed = [mean(other) - mean(one) for one, other in pairs]
    difference, low, high = over_splits(by_seed, train, len(pairs[0][0]))
    return {
        "photos": images,
        "precision": precision,
        "test_photos": sum(len(one) for one, _ in pairs),
        "seeds": len(pairs),
        "used": used,
        "fp32_top1": mean(mean(one) for one, _ in pairs),
        "top1": mean(mean(other) for _, other in pairs),
        "difference": difference,
        "low": low,
        "high": high,
        "is_met": low > -ALLOWED_LOSS,
        "difference_of_each_seed": by_seed,
    }


def main() -> None:
    """All seeds of all photos, both arithmetics in turn."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--seeds", type=int, default=5)
    asked = asked_for(parser)
    asked.seeds = 2 if asked.short else asked.seeds
    told = run([BUDWOOD, "train", "--help"]).output.partition("--precision")[2][:80]
    precisions = [name for name in ("bf16", "int8") if name in told]
    rows = []
    for images, parts in list(SETS.items())[: 1 if asked.short else None]:
        pairs: dict[str, list[tuple[list[bool], list[bool]]]] = {name: [] for name in precisions}
        used = dict.fromkeys(precisions, 0)
        with TemporaryDirectory() as folder:
            for seed in range(asked.seeds):
                split = split_anew(asked.data / images, parts, seed)
                train = sum(part == "train" for _, _, part in split)
                exact, _ = hits(split, Path(folder), "fp32", seed)
                for name in precisions:
                    found, is_used = hits(split, Path(folder), name, seed)
                    pairs[name].append((exact, found))
                    used[name] += is_used
        rows += [compared(images, name, found, used[name], train) for name, found in pairs.items()]
    is_met = all(row["is_met"] for row in rows)
    report(asked, COLUMNS, rows, tried=precisions, is_met=is_met)


if __name__ == "__main__":
    main()
