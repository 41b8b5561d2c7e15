"""Is the forecast of a learning curve better than "it stays as it is"?

    python benchmarks/learning_curve.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights and a solved linear head, on flowers and on cats and
dogs. For every seed the photos of both parts are pooled and split anew, stratified, in the same
proportion. Half of the training photos, stratified, give a learning curve and its forecast for as
many photos as there are. Then a head is fitted to all of them, its penalty chosen anew, and judged
on the test photos: `is_inside` if the forecast's 95 % interval for what so many test photos will
show holds that accuracy. `naive` is the curve's last point, that is, what the same photos say if
nothing changes; where the curve `forecasts` nothing its forecast is that, too. `half` is the head
fitted to half of the photos, on the test photos: a forecast of no change that nobody has who has
yet to measure it. `seconds` is what the curve took.

`is_met` if on both data sets the mean absolute error of the forecast is not above that of the naive
one, and 90 % of the intervals hold. Splits of one data set overlap, so that ten of them are not ten
experiments: coverage is tested by simulation, too (`test_learning_curve_simulated.py`).

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short`: two seeds.
"""

import time
from pathlib import Path

import numpy as np
from course_jobs import CATDOG, FLOWERS
from measuring import Row, asked_for, call, options, report
from splits import images_of

SETS = {"flowers": FLOWERS, "catdog": CATDOG}
COLUMNS = (
    "data", "seed", "half", "naive", "forecast", "forecasts", "low", "high", "measured",
    "is_inside", "seconds",
)  # fmt: skip
ENOUGH = 0.9
"""Share of the intervals that are to hold."""


def measured(data: str, name: str, seeds: int) -> list[Row]:
    """A row for each seed."""
    import torch

    from budwood.data.splitting import make_folds
    from budwood.evaluation.learning_curve import learning_curve
    from budwood.learning.probe import FittedProbe, Probe, fit_probe

    images = images_of(Path(data) / name, SETS[name][1])
    labels, k = torch.from_numpy(images.labels), images.classes
    rows: list[Row] = []
    for seed in range(seeds):
        train, test = images.split_anew(seed)
        half = train[make_folds(images.labels[train], 2, seed=seed) == 0]

        def fitted(of: np.ndarray, seed: int = seed) -> FittedProbe:
            return fit_probe(images.features[of], labels[of], k, Probe(seed=seed))

        def accuracy(head: FittedProbe, test: np.ndarray = test) -> float:
            named = (images.features[test] @ head.weight.T + head.bias).argmax(1)
            return float((named == labels[test]).float().mean())

        smaller = fitted(half)
        started = time.perf_counter()
        curve = learning_curve(
            images.features[half], labels[half], k, l2_strength=smaller.l2_strength, seed=seed
        )
        forecast = curve.forecast(round((len(train) - len(half)) / k), judged_on=len(test))
        seconds = time.perf_counter() - started
        before, after = accuracy(smaller), accuracy(fitted(train))
        low, high = forecast.interval
        rows.append(
            {
                "data": name,
                "seed": seed,
                "photos": [len(half), forecast.images, len(train)],
                "half": before,
                "naive": forecast.naive.top1,
                "forecast": forecast.top1,
                "forecasts": forecast.is_useful,
                "reason": forecast.reason,
                "low": low,
                "high": high,
                "measured": after,
                "is_inside": low <= after <= high,
                "error": forecast.top1 - after,
                "error_of_naive": forecast.naive.top1 - after,
                "error_of_half": before - after,
                "curve": [[p.images, p.top1] for p in curve.points],
                "seconds": seconds,
            }
        )
    return rows


def summary(rows: list[Row]) -> Row:
    """Mean absolute errors and coverage of one data set."""

    def mean_error(key: str) -> float:
        return float(np.mean([abs(row[key]) for row in rows]))

    found: Row = {
        "data": rows[0]["data"],
        "mean_absolute_error": mean_error("error"),
        "of_naive": mean_error("error_of_naive"),
        "of_half": mean_error("error_of_half"),
        "bias": float(np.mean([row["error"] for row in rows])),
        "forecasts": sum(row["forecasts"] for row in rows),
        "inside": sum(row["is_inside"] for row in rows),
        "width": float(np.mean([row["high"] - row["low"] for row in rows])),
    }
    is_covered = found["inside"] >= ENOUGH * len(rows)
    is_met = is_covered and found["mean_absolute_error"] <= found["of_naive"]
    return found | {"is_met": is_met}


def main() -> None:
    """All seeds of a data set in one child process."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--seeds", type=int, default=10)
    asked = asked_for(parser)
    seeds = 2 if asked.short else asked.seeds
    by_set = [call(measured, data=asked.data, name=name, seeds=seeds).result for name in SETS]
    summaries = [summary(rows) for rows in by_set]
    is_met = all(one["is_met"] for one in summaries)
    report(asked, COLUMNS, [r for rows in by_set for r in rows], sets=summaries, is_met=is_met)


if __name__ == "__main__":
    main()
