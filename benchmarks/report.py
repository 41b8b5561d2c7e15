"""What a report costs: beside a training, and made again on a full store. Whole processes.

    python benchmarks/report.py [--short] [--data FOLDER] [--repeats N]

For flowers and for cats and dogs, on a store that holds all features: a training without a report,
one with it, and `budwood report`, in turns. The report must take less than 15 seconds and its page
less than 5 MB; a training may get at most 2 seconds slower.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short` takes a fifth of the photos.
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import BUDWOOD, Ran, alternate, asked_for, median, options, report, run, share_of

LONGEST = 15.0
"""Seconds that a report may take."""
LARGEST = 5.0
"""MB that its page may have."""
SLOWER = 2.0
"""Seconds that a training may get slower."""


def train(data: Path, home: Path, kept: Path, *more: str) -> Ran:
    """A training whose run is kept."""
    return run([BUDWOOD, "train", data, "--out", kept, "--replace", "--json", *more], home)


def main() -> None:
    """Both sets of photos."""
    asked = asked_for(options(__doc__))
    rows = []
    with TemporaryDirectory() as folder:
        place, home = Path(folder), Path(folder, "home")
        for name in ("flowers", "catdog"):
            data = share_of(asked.data / name, 0.2 if asked.short else 1.0, place / name)
            kept = place / f"run-{name}"
            train(data, home, kept)
            ran = alternate(
                asked.repeats,
                without=partial(train, data, home, kept, "--no-report"),
                with_page=partial(train, data, home, kept),
                report=partial(run, [BUDWOOD, "report", kept, "--json"], home),
            )
            seconds = {which: median(r.seconds for r in these) for which, these in ran.items()}
            megabytes = ran["report"][-1].result["bytes"] / 1e6
            slower = seconds["with_page"] - seconds["without"]
            rows.append(
                {
                    "photos": name,
                    "train": seconds["without"],
                    "with report": seconds["with_page"],
                    "slower": slower,
                    "report": seconds["report"],
                    "page MB": megabytes,
                    "holds": seconds["report"] < LONGEST
                    and megabytes < LARGEST
                    and slower <= SLOWER,
                    "all_seconds": [r.seconds for r in ran["report"]],
                }
            )
    columns = ("photos", "train", "with report", "slower", "report", "page MB", "holds")
    report(asked, columns, rows)
    sys.exit(not all(row["holds"] for row in rows))


if __name__ == "__main__":
    main()
