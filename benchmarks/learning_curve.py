"""Does the forecast of a learning curve hold? Half of flowers forecasts what all of them give.

    python benchmarks/learning_curve.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights and a solved linear head. For every seed the photos of
both parts are pooled and split anew, stratified, in the same proportion. Half of the training
photos, stratified, give a learning curve and its forecast for as many photos as there are. Then a
head is fitted to all of them, its penalty chosen anew, and judged on the test photos: `is_inside`
if the forecast's 95 % interval for what so many test photos will show holds that accuracy. Beside
it, as the usual guess, the accuracy that half of the photos reach: `stays`, if the interval of that
(Wilson, of the test photos) holds it. `seconds` is what the curve took.

FOLDER holds `flowers` (default: BUDWOOD_DATA). `--short`: two seeds.
"""

import time
from pathlib import Path

import numpy as np
from course_jobs import FLOWERS
from measuring import Row, asked_for, call, options, report
from splits import photos_of

COLUMNS = ("seed", "half", "forecast", "low", "high", "measured", "is_inside", "stays", "seconds")
ENOUGH = 0.8
"""Share of the seeds in which the forecast is to hold."""


def measured(data: str, seeds: int) -> list[Row]:
    """A row for each seed."""
    import torch

    from budwood.intervals import wilson_interval
    from budwood.judging.learning_curve import learning_curve
    from budwood.learning.penalties import spread_folds
    from budwood.learning.probe import Probe, fit_probe

    photos = photos_of(Path(data) / "flowers", FLOWERS[1])
    labels, k = torch.from_numpy(photos.labels), photos.classes
    rows: list[Row] = []
    for seed in range(seeds):
        train, test = photos.split_anew(seed)
        half = train[spread_folds(photos.labels[train], 2, seed) == 0]

        def accuracy(of: np.ndarray, test: np.ndarray = test, seed: int = seed) -> float:
            head = fit_probe(photos.features[of], labels[of], k, Probe(seed=seed))
            named = (photos.features[test] @ head.weight.T + head.bias).argmax(1)
            return float((named == labels[test]).float().mean())

        penalty = fit_probe(photos.features[half], labels[half], k, Probe(seed=seed)).penalty
        started = time.perf_counter()
        features, own = photos.features[half], labels[half]
        curve = learning_curve(features, own, k, penalty=penalty, seed=seed)
        forecast = curve.forecast(round((len(train) - len(half)) / k), judged_on=len(test))
        seconds = time.perf_counter() - started
        before, after = accuracy(half), accuracy(train)
        low, high = forecast.interval
        usual = wilson_interval(round(before * len(test)), len(test))
        rows.append(
            {
                "seed": seed,
                "photos": [len(half), forecast.photos, len(train)],
                "half": before,
                "forecast": forecast.top1,
                "low": low,
                "high": high,
                "measured": after,
                "is_inside": low <= after <= high,
                "stays": usual[0] <= after <= usual[1],
                "error": forecast.top1 - after,
                "error_of_half": before - after,
                "curve": [[p.photos, p.top1] for p in curve.points],
                "seconds": seconds,
            }
        )
    return rows


def main() -> None:
    """All seeds in one child process."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--seeds", type=int, default=10)
    asked = asked_for(parser)
    seeds = 2 if asked.short else asked.seeds
    rows = call(measured, data=asked.data, seeds=seeds).result
    inside = sum(row["is_inside"] for row in rows)
    report(asked, COLUMNS, rows, inside=inside, is_met=inside >= ENOUGH * seeds)


if __name__ == "__main__":
    main()
