"""Are probabilities, promises and "unknown" to be trusted? On flowers, and on cats and dogs.

    python benchmarks/trust.py [--short] [--data FOLDER] [--seeds N]

EfficientNet-Lite0 with its ImageNet weights and a solved linear head. For every seed the photos of
both parts are pooled and split anew, stratified, in the same proportion. Three things are measured
on the test photos, each beside what is usual:

`calibration`: the expected calibration error in ten bins, as it is and less what chance explains,
of calibrated probabilities and of the head's own.

`abstain`: what was promised (an error of at most `--rate` among answered photos), the error among
answered photos of all seeds with its 95 % interval over the seeds (Student's t), and the share that
is answered. Beside it: answering wherever the head's own probability is at least 1 - rate.

`strange`: at which share of flowers that the flower model accepts it calls which share of cats and
dogs unknown, by its limit. Beside it, at the same share of flowers: the least confident, those of
least energy, and those farthest from their tenth nearest training photo.

FOLDER holds `flowers` and `catdog` (default: BUDWOOD_DATA). `--short`: two seeds.
"""

from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from accuracy import STUDENT
from course_jobs import CATDOG, FLOWERS
from measuring import Row, asked_for, call, options, report
from numpy.typing import NDArray
from splits import Photos, photos_of

COLUMNS = (
    "what", "photos", "how", "error", "debiased", "low", "high", "coverage", "unknown", "is_met",
)  # fmt: skip
CALIBRATED_SEEDS = 5
"""Splits over which the calibration error is a mean."""


def measured(data: str, seeds: int, rate: float) -> list[Row]:
    """All rows of the table."""
    sets = {
        "flowers": photos_of(Path(data) / "flowers", FLOWERS[1]),
        "catdog": photos_of(Path(data) / "catdog", CATDOG[1]),
    }
    rows: list[Row] = []
    for name, photos in sets.items():
        tried = [Split(photos, seed) for seed in range(seeds)]
        rows += calibration_rows(name, tried[:CALIBRATED_SEEDS])
        rows += abstain_rows(name, tried, rate)
        if name == "flowers":
            rows += strange_rows(tried, sets["catdog"].features.numpy())
    return rows


class Split:
    """A head that was fitted to one split, and what it says of the test photos."""

    def __init__(self, photos: Photos, seed: int) -> None:
        import torch

        from budwood.judging.trust import learned_trust
        from budwood.learning.probe import Probe, fit_probe

        train, test = photos.split_anew(seed)
        self.train, self.test = photos.features[train].numpy(), photos.features[test].numpy()
        self.labels, learned = photos.labels[test], photos.labels[train]
        self.head = fit_probe(
            photos.features[train], torch.from_numpy(learned), photos.classes, Probe(seed=seed)
        )
        assert self.head.held_out is not None
        held_out = self.head.held_out
        self.trust = learned_trust(
            held_out.logits.numpy(),
            learned[held_out.positions],
            learned,
            lambda some: self.train[some],
        )
        self.logits = self.answers(self.test)

    def answers(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits."""
        answers: NDArray[np.float32] = features @ self.head.weight.numpy().T
        return answers + self.head.bias.numpy()


def calibration_rows(name: str, tried: list[Split]) -> list[Row]:
    """The calibration error of calibrated probabilities, and of the head's own."""
    from budwood.judging.calibration import reliability, softmax

    rows = []
    for how in ("calibrated", "head's own"):
        found = [
            reliability(
                softmax(one.logits, one.trust.temperature if how == "calibrated" else 1.0),
                one.labels,
            )
            for one in tried
        ]
        debiased = mean(each.debiased for each in found)
        rows.append(
            {
                "what": "calibration",
                "photos": name,
                "how": how,
                "error": mean(each.error for each in found),
                "debiased": debiased,
                "by_chance": mean(each.by_chance for each in found),
                "temperature": mean(one.trust.temperature for one in tried),
                "of_each_seed": [each.error for each in found],
                "is_met": debiased <= 0.03,
            }
        )
    return rows


def abstain_rows(name: str, tried: list[Split], rate: float) -> list[Row]:
    """The error among answered photos: of the promise, and of a plain threshold."""
    from budwood.judging.abstaining import Answering, kept_promise

    from budwood.judging.calibration import softmax

    rows = []
    for how in ("promised", f"own p >= {1 - rate:g}"):
        kept, planned = [], []
        for one in tried:
            if how == "promised":
                answering, shares = one.trust.answering(rate), one.trust.probabilities(one.logits)
            else:
                answering, shares = Answering(rate, 1 - rate, 1, 1, 0), softmax(one.logits)
            kept.append(kept_promise(answering, shares, one.labels))
            planned.append(answering.coverage)
        errors = [each.error or 0.0 for each in kept]
        middle, reach = mean(errors), STUDENT[len(errors)] * stdev(errors) / sqrt(len(errors))
        rows.append(
            {
                "what": "abstain",
                "photos": name,
                "how": how,
                "error": middle,
                "low": middle - reach,
                "high": middle + reach,
                "coverage": mean(each.answered / each.photos for each in kept),
                "answered": sum(each.answered for each in kept),
                "wrong": sum(each.wrong for each in kept),
                "of_each_seed": errors,
                "is_met": middle - reach <= rate,
            }
        )
    return rows


def strange_rows(tried: list[Split], others: NDArray[np.float32]) -> list[Row]:
    """Which share of cats and dogs is unknown to the flower model, at which share of flowers."""
    found: dict[str, list[float]] = {}
    coverages = []
    for one in tried:
        known = one.trust.familiar
        assert known is not None
        coverage = 1 - float(known.is_strange(one.test).mean())
        coverages.append(coverage)
        found.setdefault("limit", []).append(float(known.is_strange(others).mean()))
        for how, (own, foreign) in usual_scores(one, others).items():
            line = np.quantile(own, coverage)
            found.setdefault(how, []).append(float((foreign > line).mean()))
    return [
        {
            "what": "strange",
            "photos": "catdog",
            "how": how,
            "coverage": mean(coverages),
            "least_coverage": min(coverages),
            "unknown": mean(shares),
            "least_unknown": min(shares),
            "is_met": mean(shares) >= 0.95 and mean(coverages) >= 0.9,
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
        "confidence": tuple(-one.trust.probabilities(a).max(1) for a in answers),
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
    parser.add_argument("--seeds", type=int, default=10, choices=STUDENT)
    parser.add_argument("--rate", type=float, default=0.02)
    asked = asked_for(parser)
    seeds = 2 if asked.short else asked.seeds
    rows = call(measured, data=asked.data, seeds=seeds, rate=asked.rate).result
    report(asked, COLUMNS, rows, seeds=seeds, rate=asked.rate)


if __name__ == "__main__":
    main()
