"""What a second training costs when the store is full: whole processes, hits and misses.

    python benchmarks/second_run.py [--short] [--data FOLDER] [--repeats N]

The first training of the flowers (empty store) is the baseline. Then, in turn: the same again,
another head, more epochs of it, ten photos more (ten that are there, compressed again: other bytes,
so ten misses), and a class under another name (no miss: a row lies under the bytes of its photo).

FOLDER holds `flowers` (default: BUDWOOD_DATA). `--short` takes a fifth of the photos, once.
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import (
    BUDWOOD,
    Ran,
    alternate,
    asked_for,
    images_in,
    median,
    options,
    report,
    run,
    share_of,
)

COMPRESS = """
import sys
from PIL import Image
for quality, path, target in zip(*[iter(sys.argv[1:])] * 3):
    Image.open(path).convert("RGB").save(target, quality=int(quality))
"""
MISSES = {
    "same again": 0,
    "new head": 0,
    "more epochs": 0,
    "ten photos more": 10,
    "class renamed": 0,
}


def train(data: Path, home: Path, *more: str) -> Ran:
    """A training with this store."""
    with TemporaryDirectory() as place:
        return run([BUDWOOD, "train", data, *more, "--out", Path(place, "run"), "--json"], home)


def with_ten_more(data: Path, place: Path, home: Path, turns: list[int]) -> Ran:
    """A training after ten photos were added that the store has never seen."""
    turns.append(len(turns))
    wider = place / "wider"
    shutil.rmtree(wider, ignore_errors=True)
    shutil.copytree(data, wider)
    words: list[object] = []
    for i, image in enumerate(images_in(wider / "train")[::7][:10]):
        words += [60 + len(turns), image, image.with_name(f"more{i}.jpg")]
    run([sys.executable, "-c", COMPRESS, *words])
    return train(wider, home)


def main() -> None:
    """The first training, then all that may follow it."""
    asked = asked_for(options(__doc__))
    with TemporaryDirectory() as folder:
        place, home = Path(folder), Path(folder, "home")
        flowers = asked.data / "flowers"
        data = share_of(flowers, 0.2 if asked.short else 1.0, place)
        renamed = place / "renamed"
        shutil.copytree(data, renamed)
        for part in renamed.iterdir():
            (part / "daisy").rename(part / "marguerite")
        first = [train(data, Path(folder, f"empty{i}")) for i in range(asked.repeats)]
        train(data, home)
        turns: list[int] = []
        ran = {"first": first} | alternate(
            asked.repeats,
            **{
                "same again": partial(train, data, home),
                "new head": partial(train, data, home, "--head", "mlp:256", "--epochs", "20"),
                "more epochs": partial(train, data, home, "--head", "mlp:256", "--epochs", "40"),
                "ten photos more": partial(with_ten_more, data, place, home, turns),
                "class renamed": partial(train, renamed, home),
            },
        )
    baseline = median(r.seconds for r in first)
    rows = []
    for name, these in ran.items():
        store = these[-1].result["store"]
        seconds = median(r.seconds for r in these)
        as_expected = all(r.result["store"]["misses"] == MISSES.get(name) for r in these)
        rows.append(
            {
                "training": name,
                "seconds": seconds,
                "hits": store["hits"],
                "misses": store["misses"],
                "as_expected": None if name == "first" else as_expected,
                "ratio": baseline / seconds,
                "test_top1": these[-1].result["test"]["top1"],
                "peak_mb": median(r.peak_mb for r in these),
                "all_seconds": [r.seconds for r in these],
            }
        )
    columns = ("training", "seconds", "hits", "misses", "as_expected", "ratio", "test_top1")
    report(asked, columns, rows)
    sys.exit(any(row["as_expected"] is False for row in rows))


if __name__ == "__main__":
    main()
