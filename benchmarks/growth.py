"""How time and memory grow: with photos up to a million, with width, and with classes.

    python benchmarks/growth.py [--short] [--data FOLDER] [--repeats N] [--limit SECONDS]

Every point is a child process of its own: seconds of the work alone, and its peak of memory with
all imports. Extraction runs real photos, from 10,000 on copies of them that differ in some bytes
after their end; the probe and one epoch of the training loop read synthetic rows (float16, from a
feature store that another process has filled), so that no photo is needed for a million. The peak
counts stored rows that are mapped from the disk, and whatever the system leaves there; `own_mb`
does not (Linux; looked at 20 times a second). Where a curve has three points or more, the exponent
of seconds over photos is the slope of the logarithms by least squares: 1 is linear. A point that
fails or exceeds `--limit` is listed with the reason. A million rows of 1280 take 2.6 GB of disk.

FOLDER holds `flowers` (default: BUDWOOD_DATA).
"""

import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import Ran, Row, asked_for, call, images_in, median, options, report

WIDTH, CLASSES = 1280, 10
CHUNK = 4096
COLUMNS = (
    "curve", "photos", "width", "classes", "seconds", "cpu_seconds", "own_mb", "peak_mb",
    "not_measured",
)  # fmt: skip


def extraction(images: list[str]) -> Row:
    """Seconds of Budwood's pass over photos, with the building of its engine."""
    import budwood

    network = budwood.build("efficientnet_lite0", classes=5)
    budwood.freeze(network, "*")
    budwood.unfreeze(network, "classifier")
    model = budwood.Classifier(network)
    started = time.perf_counter()
    with own_memory() as seen:
        model.gather([Path(image) for image in images])
    return {"seconds": time.perf_counter() - started, "own_mb": max(seen)}


def store_rows(images: int, width: int, classes: int) -> None:
    """Put rows around one centre a class into the feature store."""
    import numpy as np
    import torch

    from budwood.features.store import RowStore

    random = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, width, generator=random)
    labels, names = named(images, classes)
    step = max(1, CHUNK * WIDTH // width)
    store = RowStore("synthetic", {})
    for start in range(0, images, step):
        part = labels[start : start + step]
        rows = 0.2 * centres[part] + torch.randn(len(part), width, generator=random)
        store.write(names[start : start + step], rows.numpy().astype(np.float16))


def named(images: int, classes: int) -> tuple[Any, list[bytes]]:
    """A class and a name for each photo."""
    import torch

    labels = torch.randint(classes, (images,), generator=torch.Generator().manual_seed(1))
    return labels, [i.to_bytes(16, "big") for i in range(images)]


def probe_on(rows: Any, labels: Any, classes: int) -> None:
    """Solve the probe: the only place that knows how Budwood wants its features."""
    from budwood.learning.probe import fit_probe

    fit_probe(rows, labels, classes)


def loop_on(rows: Any, labels: Any, classes: int, width: int) -> None:
    """One epoch of the training loop, a linear layer: the only place that knows its form."""
    import torch

    from budwood.learning.training import Training, train_graft

    class Graft(torch.nn.Linear):
        def forward(self, frontier: Any) -> Any:
            return super().forward(frontier[0])

    train_graft(Graft(width, classes), rows, labels, Training(epochs=1))


def learning(what: str, images: int, width: int, classes: int) -> Row:
    """Seconds of the probe, or of one epoch, on synthetic rows."""
    from budwood.features.rows import StoredRows
    from budwood.features.store import RowStore

    labels, names = named(images, classes)
    rows = StoredRows([RowStore("synthetic", {})], names, 2 * width)
    with own_memory() as seen:
        started = time.perf_counter()
        if what == "probe":
            probe_on(rows, labels, classes)
        else:
            loop_on(rows, labels, classes, width)
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "own_mb": max(seen)}


@contextmanager
def own_memory() -> Iterator[list[float]]:
    """What this process holds, in 10^6 bytes, without files that it maps; at many moments."""
    seen, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            held = [line.split()[1] for line in lines if line.startswith(("RssAnon", "RssShmem"))]
            seen.append(sum(map(int, held)) * 1024 / 1e6)

    watching = threading.Thread(target=look)
    if sys.platform == "linux":
        watching.start()
    try:
        yield seen
    finally:
        over.set()
        if watching.ident:
            watching.join()


def points(asked: Any) -> list[Row]:
    """Every point of every curve."""
    is_short = asked.short
    found = [
        {"curve": "extraction", "photos": n}
        for n in ((300,) if is_short else (1_000, 3_000, 10_000, 30_000))
    ]
    for what in ("probe", "loop"):
        many = (1_000, 3_000, 10_000) if is_short else (1_000, 10_000, 100_000, 1_000_000)
        widths = () if is_short else (1_280, 10_000, 30_000, 100_000)
        numbers = () if is_short else (2, 10, 100, 1_000)
        found += [point(f"{what} over photos", what, n, WIDTH, CLASSES) for n in many]
        found += [point(f"{what} over width", what, 1_000, w, CLASSES) for w in widths]
        found += [point(f"{what} over classes", what, 10_000, WIDTH, k) for k in numbers]
    if not is_short:
        found.append(point("probe of the size of flowers", "probe", 2_569, WIDTH, 5))
        found.append(point("probe of a large problem", "probe", 50_000, WIDTH, 100))
    return found


def copies(images: list[Path], count: int, place: Path) -> list[str]:
    """So many photos that all differ: where there are too few, with some bytes after the end."""
    if count <= len(images):
        return [str(path) for path in images[:count]]
    place.mkdir()
    for i in range(count):
        data = images[i % len(images)].read_bytes()
        (place / f"{i}.jpg").write_bytes(data + i.to_bytes(4, "big"))
    return [str(path) for path in sorted(place.iterdir())]


def point(curve: str, what: str, images: int, width: int, classes: int) -> Row:
    """One point, to be measured."""
    return {"curve": curve, "what": what, "photos": images, "width": width, "classes": classes}


def measured(row: Row, images: list[Path], repeats: int, limit: float) -> Row:
    """A point with its seconds and its peak of memory, or the reason why it has none."""

    def once() -> Ran:
        with TemporaryDirectory() as place:
            home = Path(place)
            if row["curve"] != "extraction":
                given = {name: row[name] for name in ("photos", "width", "classes")}
                call(store_rows, home=home, **given)  # apart, so that its memory does not count
                return call(learning, home=home, limit=limit, what=row["what"], **given)
            some = copies(images, row["photos"], home / "photos")
            return call(extraction, home=home / "home", limit=limit, images=some)

    try:
        first = once()
        more = repeats - 1 if first.seconds < 120 else 0
        ran = [first, *(once() for _ in range(more))]
    except RuntimeError as problem:
        return row | {"not_measured": str(problem)}
    return row | {
        "seconds": median(r.result["seconds"] for r in ran),
        "cpu_seconds": median(r.cpu_seconds for r in ran),
        "peak_mb": median(r.peak_mb for r in ran),
        "own_mb": median(r.result["own_mb"] for r in ran),
        "all_seconds": [r.result["seconds"] for r in ran],
    }


def exponents(rows: list[Row]) -> dict[str, float]:
    """The slope of log seconds over log of what grows, for curves of three points or more."""
    found = {}
    for curve in dict.fromkeys(row["curve"] for row in rows):
        axis = curve.rpartition(" ")[2] if " over " in curve else "photos"
        some = [row for row in rows if row["curve"] == curve and "seconds" in row]
        if len(some) >= 3:
            x = [math.log(row[axis]) for row in some]
            found[curve] = slope(x, [math.log(row["seconds"]) for row in some])
    return found


def slope(x: list[float], y: list[float]) -> float:
    """The slope of the line of least squares."""
    a, b = sum(x) / len(x), sum(y) / len(y)
    top = sum((u - a) * (v - b) for u, v in zip(x, y, strict=True))
    return top / sum((u - a) ** 2 for u in x)


def main() -> None:
    """Every point, one after the other."""
    parser = options(__doc__)
    parser.add_argument("--limit", type=float, default=900.0, help="Seconds a point may take.")
    asked = asked_for(parser)
    images = images_in(asked.data / "flowers")
    step = partial(measured, images=images, repeats=asked.repeats, limit=asked.limit)
    rows = [step(row) for row in points(asked)]
    report(asked, COLUMNS, rows, exponents=exponents(rows), limit_seconds=asked.limit)


if __name__ == "__main__":
    main()
