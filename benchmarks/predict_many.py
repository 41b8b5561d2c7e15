"""`budwood predict` of ten thousand files from one capsule: how near the floor, and in what memory.

    python benchmarks/predict_many.py [--short] [--data FOLDER] [--repeats N] [--files N]

A classifier is trained on the flowers once. Then, in turn: a tenth of the files, all of them, and
the floor of a photo (`floor.py`: decoding at full size, shared by all cores, plus the network in
the best way of any engine). Files are links to cats and dogs, over and over, under names of
their own. The rate is that of the files between the two runs, so that what a process
takes to start is left out; torch is not to be imported.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA).
"""

import json
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from floor import decoding, throughput
from measuring import (
    BUDWOOD,
    Ran,
    alternate,
    asked_for,
    call,
    images_in,
    median,
    options,
    report,
    run,
)

COLUMNS = (
    "network", "files", "seconds", "few_seconds", "ms", "decode_ms", "network_ms", "fastest",
    "share_of_floor", "peak_mb", "few_peak_mb", "torch",
)  # fmt: skip
NETWORK = "efficientnet_lite0"
WATCHED = """
import sys, resource
from budwood.cli import main
sys.argv = ["budwood", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(int("torch" in sys.modules))
"""


def predicted(run_folder: Path, images: Path, table: Path, home: Path) -> Ran:
    """`budwood predict` of a folder, and whether it imported torch."""
    import sys

    words = ["predict", run_folder, images, "--csv", table]
    done = run([sys.executable, "-c", WATCHED, *words], home)
    assert len(table.read_text("utf-8").splitlines()) == 1 + len(list(images.iterdir()))
    return done


def main() -> None:
    """Both runs and the floor, in turn."""
    parser = options(__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    asked = asked_for(parser)
    number = 600 if asked.short else asked.files
    known = images_in(asked.data / "catdog")  # none of them is in the store
    with TemporaryDirectory() as folder:
        place = Path(folder)
        home, trained = place / "home", place / "run"
        run([BUDWOOD, "train", asked.data / "flowers", "--out", trained, "--no-report"], home)
        many, few = place / "many", place / "few"
        for images, count in ((many, number), (few, number // 10)):
            images.mkdir()
            for i in range(count):
                os.symlink(known[(7 * i) % len(known)], images / f"{i:05}.jpg")
        from measuring import machine

        about = machine()
        is_fast = {"avx512_bf16", "amx_bf16"} & set(about["extensions"])
        arguments = {
            "network": NETWORK,
            "precisions": ["fp32", "bf16"] if is_fast else ["fp32"],
            "cores": about["cores"],
        }
        once = partial(predicted, trained, home=home)
        once(few, place / "warm.csv")
        ran = alternate(
            asked.repeats,
            few=partial(once, few, place / "few.csv"),
            many=partial(once, many, place / "many.csv"),
            decode=partial(
                call, decoding, images=[str(p) for p in known[::4]], cores=about["cores"]
            ),
            network=partial(call, throughput, **arguments, lasting=3.0, batches=[1, 2, 4, 8]),
        )
    between = number - number // 10
    pairs = zip(ran["many"], ran["few"], strict=True)
    ms = median(1000 * (all_.seconds - some.seconds) / between for all_, some in pairs)
    decode = median(1000 * r.result["core_seconds"] / about["cores"] for r in ran["decode"])
    alone = median(1000 * r.result["seconds"] for r in ran["network"])
    row = {
        "network": NETWORK,
        "files": number,
        "seconds": median(r.seconds for r in ran["many"]),
        "few_seconds": median(r.seconds for r in ran["few"]),
        "ms": ms,
        "decode_ms": decode,
        "network_ms": alone,
        "fastest": ran["network"][-1].result["engine"],
        "share_of_floor": (decode + alone) / ms,
        "peak_mb": median(r.peak_mb for r in ran["many"]),
        "few_peak_mb": median(r.peak_mb for r in ran["few"]),
        "torch": any(json.loads(r.output.splitlines()[-1]) for r in ran["many"]),
        "all_seconds": {name: [r.seconds for r in ran[name]] for name in ("few", "many")},
    }
    report(asked, COLUMNS, [row])


if __name__ == "__main__":
    main()
