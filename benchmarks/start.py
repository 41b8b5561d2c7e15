"""How long commands take to answer, and what memory they need, beside importing torch alone.

    python benchmarks/start.py [--short] [--data FOLDER] [--repeats N]

Wall seconds of whole processes, medians of `--repeats` (7), all commands in turn. The baseline is
`import torch, torchvision, timm`, what any such tool needs before it begins. `predict` asks a run
that was trained on few flowers, for the second time: what it can keep from the first is kept.

FOLDER holds `flowers` (default: BUDWOOD_DATA).
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import (
    BUDWOOD,
    Row,
    alternate,
    asked_for,
    images_in,
    median,
    options,
    report,
    run,
    share_of,
)

BASELINE = "import torch, torchvision, timm"


def main() -> None:
    """Every command, in turn."""
    asked = asked_for(options(__doc__, repeats=7))
    with TemporaryDirectory() as place:
        home, trained = Path(place, "home"), Path(place, "run")
        few = share_of(asked.data / "flowers", 0.03, Path(place))
        run([BUDWOOD, "train", few, "--out", trained], home)
        image = images_in(few)[0]
        commands: dict[str, list[object]] = {
            BASELINE: [sys.executable, "-c", BASELINE],
            "budwood --help": [BUDWOOD, "--help"],
            "budwood models": [BUDWOOD, "models"],
            "budwood inspect resnet50": [BUDWOOD, "inspect", "resnet50"],
            "budwood inspect resnet50 --classes 5": [
                BUDWOOD, "inspect", "resnet50", "--classes", "5",
            ],
            "budwood predict runs/flowers a.jpg": [BUDWOOD, "predict", trained, image],
        }  # fmt: skip
        missing: list[Row] = []
        for name, command in list(commands.items()):
            try:
                run(command, home)  # warms the disk, and what predict keeps
            except RuntimeError as problem:
                missing.append({"command": name, "not_measured": str(problem)})
                del commands[name]
        sides = {name: partial(run, command, home) for name, command in commands.items()}
        ran = alternate(asked.repeats, **sides)
    rows = [
        {
            "command": name,
            "seconds": median(r.seconds for r in times),
            "peak_mb": median(r.peak_mb for r in times),
            "all_seconds": [r.seconds for r in times],
        }
        for name, times in ran.items()
    ]
    baseline = rows[0]["seconds"]
    for row in rows:
        row["of_import"] = row["seconds"] / baseline
    columns = ("command", "seconds", "peak_mb", "of_import", "not_measured")
    report(asked, columns, [*rows, *missing])


if __name__ == "__main__":
    main()
