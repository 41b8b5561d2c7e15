"""Are probabilities, target errors and "unknown" to be trusted? On flowers, and on cats and dogs.

    python benchmarks/trust.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights and a fitted linear head. For every seed the photos of
both parts are pooled and split anew, stratified, in the same proportion; copies are found as in
`budwood train` and lie on one side (so a test part may be a photo larger or smaller). Three things
are measured on the test photos, each beside what is usual:

`calibration`: the expected calibration error in ten bins (`error`), the band that a perfect
classifier shows on as many photos (`band_low`, `band_high`), in how many splits it is inside
(`inside`), and confidence less accuracy (`gap`), of calibrated probabilities and of the head's own.
`is_met`: inside in nine splits of ten.

`abstain`: at each target error rate, the error among answered photos (mean over the splits, with a
95 % interval corrected for what they share), the share that is answered, in how many splits the
measured error is above the target (`above`), and the error of all splits together. Beside it:
answering wherever the head's own probability is at least 1 - rate. `is_met`: the error of all
splits together is at most the target; that test photos measure it with noise is no excuse. That it
is kept with 90 % confidence is proven where the truth is known (`tests/simulations`).

`ood`: at which share of flowers that the flower model accepts it calls which share of cats and dogs
out of distribution, by its limit. Beside it, at the same share of flowers: the least confident,
those of least energy, and those farthest from their tenth nearest training photo. `is_met`: at
least 95 % of cats and dogs are, and on average at most 5 % of the flowers.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short`: two seeds.
"""

from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from course_jobs import CATDOG, FLOWERS
from measuring import Row, asked_for, call, options, report
from numpy.typing import NDArray
from splits import Images, images_of, over_splits

COLUMNS = (
    "what", "photos", "how", "error", "low", "high", "band_low", "band_high", "gap", "inside",
    "coverage", "above", "unknown", "is_met",
)  # fmt: skip
TARGETS = (0.02, 0.05)


def measured(data: str, seeds: int) -> list[Row]:
    """All rows of the table."""
    sets = {
        "flowers": images_of(Path(data) / "flowers", FLOWERS[1]),
        "catdog": images_of(Path(data) / "catdog", CATDOG[1]),
    }
    rows: list[Row] = []
    for name, images in sets.items():
        tried = [Split(images, seed) for seed in range(seeds)]
        rows += calibration_rows(name, tried)
        for target in TARGETS:
            rows += abstain_rows(name, tried, target)
        if name == "flowers":
            rows += ood_rows(tried, sets["catdog"].features.numpy())
    return rows


class Split:
    """A head that was fitted to one split, and what it says of the test photos."""

    def __init__(self, images: Images, seed: int) -> None:
        import torch

        from budwood.evaluation.held_out_statistics import learned_statistics
        from budwood.learning.fitting import HeldOutLogits
        from budwood.learning.probe import Probe, fit_probe

        train, test = images.split_anew(seed)
        self.train, self.test = images.features[train].numpy(), images.features[test].numpy()
        self.labels, learned = images.labels[test], images.labels[train]
        self.groups = images.groups[test]
        self.head = fit_probe(
            images.features[train],
            torch.from_numpy(learned),
            images.classes,
            Probe(seed=seed),
            groups=images.groups[train],
        )
        held_out = self.head.held_out
        assert held_out is not None
        own = held_out.positions
        groups = images.groups[train]
        self.statistics = learned_statistics(
            HeldOutLogits(learned[own], held_out.logits, groups[own], own),
            learned,
            groups,
            lambda some: self.train[some],
        )
        self.logits = self.answers(self.test)
        assert self.statistics.ood_detector is not None
        self.ood = self.statistics.ood_detector.is_ood(self.test)

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits."""
        answers: NDArray[np.float32] = features @ self.head.weight.numpy().T
        return answers + self.head.bias.numpy()

    def over(self, values: list[float]) -> tuple[float, float, float]:
        """Mean and interval of what splits like this one gave."""
        return over_splits(values, len(self.train), len(self.test))


def calibration_rows(name: str, tried: list[Split]) -> list[Row]:
    """The calibration error of calibrated probabilities, and of the head's own."""
    from budwood.evaluation.calibration import reliability, softmax

    rows = []
    for how in ("calibrated", "head's own"):
        found = [
            reliability(
                softmax(one.logits, one.statistics.temperature if how == "calibrated" else 1.0),
                one.labels,
                one.groups,
            )
            for one in tried
        ]
        inside = sum(each.band[0] <= each.error <= each.band[1] for each in found)
        top1 = [float((one.logits.argmax(1) == one.labels).mean()) for one in tried]
        rows.append(
            {
                "what": "calibration",
                "photos": name,
                "how": how,
                "error": mean(each.error for each in found),
                "band_low": mean(each.band[0] for each in found),
                "band_high": mean(each.band[1] for each in found),
                "gap": mean(each.gap for each in found),
                "inside": inside,
                "splits": len(found),
                "top1": mean(top1),
                "temperature": mean(one.statistics.temperature for one in tried),
                "of_each_seed": [each.error for each in found],
                "is_met": inside >= 0.9 * len(found),
            }
        )
    return rows


def abstain_rows(name: str, tried: list[Split], target: float) -> list[Row]:
    """The error among answered photos: of the rule, and of a plain threshold."""
    from budwood.evaluation.calibration import softmax
    from budwood.evaluation.selective import SelectiveRule, applied

    rows = []
    for how in (f"target {target:g}", f"own p >= {1 - target:g}"):
        kept = []
        for one in tried:
            if how.startswith("target"):
                rule, shares, ood = (
                    one.statistics.rule(target),
                    one.statistics.probabilities(one.logits),
                    one.ood,
                )
            else:
                rule, shares, ood = (
                    SelectiveRule(target, 1 - target, 1, 1, 0),
                    softmax(one.logits),
                    None,
                )
            kept.append(applied(rule, shares, one.labels, ood, one.groups))
        errors = [each.error or 0.0 for each in kept]
        middle, low, high = tried[0].over(errors)
        answered, wrong = (sum(getattr(each, n) for each in kept) for n in ("answered", "wrong"))
        above = sum(error > target for error in errors)
        rows.append(
            {
                "what": "abstain",
                "photos": name,
                "how": how,
                "target": target,
                "error": middle,
                "low": low,
                "high": high,
                "coverage": mean(each.answered / each.images for each in kept),
                "above": above,
                "splits": len(errors),
                "answered": answered,
                "wrong": wrong,
                "of_each_seed": errors,
                "is_met": wrong <= target * answered,
            }
        )
    return rows


def ood_rows(tried: list[Split], others: NDArray[np.float32]) -> list[Row]:
    """Which share of cats and dogs is unknown to the flower model, at which share of flowers."""
    found: dict[str, list[float]] = {}
    coverages = []
    for one in tried:
        known = one.statistics.ood_detector
        assert known is not None
        coverage = 1 - float(one.ood.mean())
        coverages.append(coverage)
        found.setdefault("limit", []).append(float(known.is_ood(others).mean()))
        for how, (own, foreign) in usual_scores(one, others).items():
            line = np.quantile(own, coverage)
            found.setdefault(how, []).append(float((foreign > line).mean()))
    return [
        {
            "what": "ood",
            "photos": "catdog",
            "how": how,
            "coverage": mean(coverages),
            "least_coverage": min(coverages),
            "unknown": mean(shares),
            "least_unknown": min(shares),
            "is_met": min(shares) >= 0.95 and mean(coverages) >= 0.95,
        }
        for how, shares in found.items()
    ]


def usual_scores(one: Split, others: NDArray[np.float32]) -> dict[str, tuple[Any, Any]]:
    """Scores, greater for what is stranger, of the test photos and of others."""
    from scipy.special import logsumexp
    from sklearn.neighbors import NearestNeighbors

    answers = (one.logits, one.answers(others))
    near = NearestNeighbors(n_neighbors=10).fit(directions(one.train))
    return {
        "confidence": tuple(-one.statistics.probabilities(a).max(1) for a in answers),
        "energy": tuple(-logsumexp(a, axis=1) for a in answers),
        "10 neighbours": tuple(
            near.kneighbors(directions(rows))[0][:, -1] for rows in (one.test, others)
        ),
    }


def directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row at length 1."""
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def main() -> None:
    """All seeds in one child process."""
    parser = options(__doc__, repeats=1)
    parser.add_argument("--seeds", type=int, default=10)
    asked = asked_for(parser)
    seeds = 2 if asked.short else asked.seeds
    rows = call(measured, data=asked.data, seeds=seeds).result
    ours = [r for r in rows if r["how"] in ("calibrated", "limit") or r["how"].startswith("target")]
    report(asked, COLUMNS, rows, seeds=seeds, is_met=all(row["is_met"] for row in ours))


if __name__ == "__main__":
    main()
