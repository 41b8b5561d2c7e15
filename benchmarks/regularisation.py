"""How strongly should a linear head be regularised? Three rules, on three sets of photos.

    python benchmarks/regularisation.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights. For every seed the photos of flowers, and of cats and
dogs, are pooled and split anew, stratified, in the published proportion; the patches of the demo's
surfaces are cut anew. On the training photos each penalty of the search is tried in five folds, and
one is taken by each rule: `least` held-out loss; `one_se`, the strongest within one standard error
of the least loss; `paired`, the same with the standard error of the difference of the two losses,
photo by photo. A head is fitted with each, calibrated on its held-out answers as in `budwood train`
and judged on the test photos.

`top1`, `log_loss` after calibration and `own_log_loss` before it, `temperature` that was found on
held-out photos and `needed`, the one that the test photos would ask for. `against_least` is the
mean difference in `log_loss`, with a 95 % interval over the splits that is corrected for what they
share (Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 2003). The
baseline is `least`. `is_used` marks the rule of `budwood.learning.regularisation`; `is_met` if no
other rule's log loss is clearly better than its on any set.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short`: two seeds, no surfaces.
"""

from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from course_jobs import CATDOG, FLOWERS
from measuring import Row, asked_for, call, options, report
from numpy.typing import NDArray
from splits import images_of, over_splits

COLUMNS = (
    "photos", "rule", "penalty", "top1", "log_loss", "own_log_loss", "temperature", "needed",
    "against_least", "low", "high", "is_used",
)  # fmt: skip


def measured(data: str, seeds: int, surfaces: bool) -> list[Row]:
    """A row for each set of photos and rule."""
    rows: list[Row] = []
    for name, parts in (("flowers", FLOWERS), ("catdog", CATDOG)):
        images = images_of(Path(data) / name, parts[1])
        splits = [images.split_anew(seed) for seed in range(seeds)]
        found = [
            judged(images.features, images.labels, train, test, seed)
            for seed, (train, test) in enumerate(splits)
        ]
        rows += table(name, found, len(splits[0][0]), len(splits[0][1]))
    if surfaces:
        found, sizes = [], (1, 1)
        for seed in range(seeds):
            features, labels, train, test = patches(seed)
            sizes = len(train), len(test)
            found.append(judged(features, labels, train, test, seed))
        rows += table("surfaces", found, *sizes)
    return rows


def patches(seed: int) -> tuple[Any, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Features and labels of the demo's patches, and which train and test."""
    from budwood.course.surfaces import draw_surfaces

    with TemporaryDirectory() as folder:
        drawn = images_of(draw_surfaces(Path(folder), seed), "test")
    tests = sum(drawn.tests.values())
    first = np.arange(len(drawn.labels))
    return drawn.features, drawn.labels, first[tests:], first[:tests]


def judged(
    features: Any,
    labels: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    seed: int,
) -> dict[str, Row]:
    """What each rule comes to on one split."""
    import torch

    from budwood.data.splitting import make_folds
    from budwood.evaluation.calibration import fit_temperature
    from budwood.intervals import standard_error
    from budwood.learning.lbfgs import Regressions
    from budwood.learning.probe import Probe, fit_probe, labelled_rows
    from budwood.learning.regularisation import (
        held_out_folds,
        one_standard_error,
        tried_l2_strengths,
    )

    k, own = int(labels.max()) + 1, torch.from_numpy(labels[train])
    rows = labelled_rows(features[train], own, k)
    held_out = held_out_folds(make_folds(labels[train], seed=seed))
    fits = Regressions(rows, (~held_out).float(), torch.float32)
    found = list(tried_l2_strengths(rows, fits, held_out))
    least = min(found, key=lambda tried: float(tried.losses.mean()))
    rises = [(tried, tried.losses - least.losses) for tried in found]
    chosen = {
        "least": least,
        "one_se": one_standard_error(found),
        "paired": next(t for t, rise in rises if rise.mean() <= standard_error(rise)),
    }
    results = {}
    for rule, tried in chosen.items():
        head = fit_probe(features[train], own, k, Probe(l2_strength=tried.l2_strength))
        logits = (features[test] @ head.weight.T + head.bias).numpy()
        temperature = fit_temperature(tried.answers.numpy(), labels[train])
        results[rule] = {
            "penalty": tried.l2_strength / rows.blocks.width,
            "top1": float((logits.argmax(1) == labels[test]).mean()),
            "log_loss": log_loss(logits / temperature, labels[test]),
            "own_log_loss": log_loss(logits, labels[test]),
            "temperature": temperature,
            "needed": fit_temperature(logits, labels[test]),
        }
    return results


def log_loss(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Mean cross entropy."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def table(name: str, found: list[dict[str, Row]], train: int, test: int) -> list[Row]:
    """Means over the splits, and the paired difference to the baseline."""
    rows = []
    for rule in found[0]:
        of_rule = [one[rule] for one in found]
        apart = [one[rule]["log_loss"] - one["least"]["log_loss"] for one in found]
        middle, low, high = over_splits(apart, train, test)
        rows.append(
            {"photos": name, "rule": rule}
            | {figure: mean(one[figure] for one in of_rule) for figure in of_rule[0]}
            | {"against_least": middle, "low": low, "high": high, "is_used": rule == "one_se"}
            | {"of_each_seed": [one["log_loss"] for one in of_rule]}
        )
    return rows


def is_best(rows: list[Row]) -> bool:
    """True if no rule is clearly better than the one that is used, on any set."""
    used = {row["photos"]: row for row in rows if row["is_used"]}
    return all(
        np.mean(np.array(row["of_each_seed"]) < np.array(used[row["photos"]]["of_each_seed"]))
        <= 0.8
        for row in rows
        if not row["is_used"]
    )


def main() -> None:
    """All seeds in one child process."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--seeds", type=int, default=20)
    asked = asked_for(parser)
    seeds = 2 if asked.short else asked.seeds
    rows = call(measured, data=asked.data, seeds=seeds, surfaces=not asked.short).result
    report(asked, COLUMNS, rows, seeds=seeds, is_met=is_best(rows))


if __name__ == "__main__":
    main()
