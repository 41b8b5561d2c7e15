"""Does `compare` rank pretrained networks above random ones, and are its figures right?

    python benchmarks/compare.py [--short] [--data FOLDER]

EfficientNet-Lite0, Lite1 and Lite2 with their ImageNet weights, and VGG16, ResNet18 and GoogLeNet
with random ones, on flowers: all stages of all of them. The first comparison has an empty store,
the second a full one. Afterwards, in the same store, every probe is done again by scikit-learn
(standardised features, the same folds, the penalty times a fit's share of the rows): photos that
the two judge otherwise are counted. `best_low` and `best_high` are the interval of a network's best
stage; the lowest `best_low` of the pretrained must lie above the highest `best_high` of the random
ones.

FOLDER holds `flowers` (default: BUDWOOD_DATA). `--short`: a twentieth of the photos.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import BUDWOOD, Row, asked_for, call, options, report, run, share_of

NETWORKS = (
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "vgg16=none",
    "resnet18=none",
    "googlenet=none",
)
STAGES = {
    "efficientnet_lite0": [*(f"blocks.{i}" for i in range(7)), "conv_head"],
    "efficientnet_lite1": [*(f"blocks.{i}" for i in range(7)), "conv_head"],
    "efficientnet_lite2": [*(f"blocks.{i}" for i in range(7)), "conv_head"],
    "vgg16": [f"features.{i}" for i in (4, 9, 16, 23, 30)],
    "resnet18": [f"layer{i}" for i in range(1, 5)],
    "googlenet": [f"inception{i}" for i in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")],
}
"""Blocks of which each must be a stage; there may be more."""
COLUMNS = (
    "network", "stages", "all_listed", "best_stage", "best_top1", "best_low", "best_high",
    "differ_at_most", "fit_seconds",
)  # fmt: skip


def checked(images: str, name: str, l2_strengths: list[float], tops: list[float]) -> Row:
    """For each stage, how many photos scikit-learn judges otherwise: the difference of the two
    counts of right answers, and the seconds that it takes for all."""
    import time

    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from budwood.data.folder import load_folder
    from budwood.data.splitting import make_folds
    from budwood.evaluation.staged_networks import StagedNetwork
    from budwood.features.gathering import Extraction
    from budwood.models.candidates import candidates
    from budwood.reporter import SILENT

    (candidate,) = candidates([name])
    train = load_folder(images).train
    network = StagedNetwork(candidate, Extraction(), SILENT)
    gathered = network.gather(train.paths)
    assert gathered.misses == 0, "the features are not those of the comparison"
    folds, truth = make_folds(train.targets, groups=train.group_numbers), train.targets
    torch.set_num_threads(1)
    differ, started = [], time.perf_counter()
    stages = gathered.rows.take(range(len(train)))
    for features, l2_strength, top1 in zip(stages, l2_strengths, tops, strict=True):
        z = StandardScaler().fit_transform(features.double().numpy())
        right = 0
        for fold in np.unique(folds):
            out = folds == fold
            model = LogisticRegression(C=1 / (l2_strength * (~out).mean()), max_iter=5000, tol=1e-6)
            model.fit(z[~out], truth[~out])
            right += int((model.predict(z[out]) == truth[out]).sum())
        differ.append(abs(right - round(top1 * len(truth))))
    return {"differ": differ, "seconds": time.perf_counter() - started}


def row_of(network: Row, check: Row) -> Row:
    """A line of the table."""
    names = [stage["stage"] for stage in network["stages"]]
    best = max(network["stages"], key=lambda stage: stage["top1"])
    return {
        "network": network["model"],
        "weights": network["weights"],
        "stages": len(names),
        "all_listed": set(STAGES[network["model"]]) <= set(names),
        "best_stage": best["stage"],
        "best_top1": best["top1"],
        "best_low": best["interval"][0],
        "best_high": best["interval"][1],
        "differ_at_most": max(check["differ"]),
        "differ": check["differ"],
        "fit_seconds": sum(stage["fit_seconds"] for stage in network["stages"]),
        "scikit_learn_seconds": check["seconds"],
        "all_stages": network["stages"],
    }


def main() -> None:
    """Two comparisons, and scikit-learn on the same features."""
    asked = asked_for(options(__doc__, repeats=1))
    with TemporaryDirectory() as folder:
        place, home = Path(folder), Path(folder, "home")
        data = share_of(asked.data / "flowers", 0.05 if asked.short else 1.0, place)
        command = [BUDWOOD, "compare", data, "--models", ",".join(NETWORKS), "--json"]
        empty = run(command, home)
        full = run(command, home)
        one = run([BUDWOOD, "compare", data, "--models", NETWORKS[0], "--json"], home)
        networks = full.result["models"]
        rows = []
        for name, network in zip(NETWORKS, networks, strict=True):
            about = {
                "penalties": [stage["penalty"] for stage in network["stages"]],
                "tops": [stage["top1"] for stage in network["stages"]],
            }
            rows.append(
                row_of(network, call(checked, home=home, images=data, name=name, **about).result)
            )
    pretrained = [row["best_low"] for row in rows if row["weights"] != "none"]
    random = [row["best_high"] for row in rows if row["weights"] == "none"]
    figures = {
        "no_overlap": min(pretrained) > max(random),
        "nothing_recomputed": all(network["store"]["misses"] == 0 for network in networks),
        "seconds_empty_store": empty.seconds,
        "seconds_full_store": full.seconds,
        "seconds_full_store_lite0": one.seconds,
        "peak_mb": full.peak_mb,
        "recommendation": full.result["recommendation"],
    }
    print(json.dumps(figures, indent=1), file=sys.stderr)
    report(asked, COLUMNS, rows, **figures)
    is_right = all(row["all_listed"] and row["differ_at_most"] <= 2 for row in rows)
    sys.exit(not (figures["no_overlap"] and figures["nothing_recomputed"] and is_right))


if __name__ == "__main__":
    main()
