"""Whether one classifier is better than another, and the best of many, asked of the same images.

All stages are judged on the same images, so two of them are compared pair by pair, and images that
belong together count as one draw. Three things follow from the choice. The best of the data need
not be the best in truth, so a stage must hold its own against each of the others to be called
non-inferior. Of many equal stages the luckiest looks better than the unluckiest, so the test of
"worse than the best" allows for the largest difference among all pairs. And the best's own figure
is too good, by its luck.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from budwood.errors import DataError
from budwood.intervals import PSEUDO, Z, difference_interval, sign_flip_p

LEVEL = 0.05
"""Below this probability a difference is called significant."""


@dataclass(frozen=True)
class PairedTest:
    """Two classifiers on the same images.

    Example:
        >>> first = np.repeat([True, True, False, False], [500, 4, 20, 26])
        >>> second = np.repeat([True, False, True, False], [500, 4, 20, 26])
        >>> print(paired(first, second))
        The second is significantly better: 20 photos that only it gets right against 4 \
(McNemar p = 0.0015); top-1 0.945 against 0.916, difference +2.9 points (95 % interval +1.1 to \
+4.7).
    """

    images: int
    both: int
    """Images that both get right."""
    first_only: int
    """Images that only the first gets right."""
    second_only: int
    """Images that only the second gets right."""
    interval: tuple[float, float]
    """The 95 % interval of the difference."""
    p_value: float
    """How often a difference as large comes about if both are as good: McNemar's exact test, or
    that of random signs of the groups."""
    groups: int | None = None
    """Groups of images that belong together; None: each image stands for itself."""

    @property
    def is_tie(self) -> bool:
        """True if the two are not significantly different."""
        return self.p_value >= LEVEL

    @property
    def difference(self) -> float:
        """Top-1 of the second less that of the first."""
        return (self.second_only - self.first_only) / self.images

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "images": self.images,
            "both_correct": self.both,
            "only_first_correct": self.first_only,
            "only_second_correct": self.second_only,
            "difference": self.difference,
            "interval": list(self.interval),
            "p_value": self.p_value,
            "not_significantly_different": self.is_tie,
            "groups": self.groups,
        }

    def __str__(self) -> str:
        first, second = (
            (self.both + own) / self.images for own in (self.first_only, self.second_only)
        )
        low, high = (100 * end for end in self.interval)
        if self.is_tie:
            verdict = "The two are not significantly different"
        elif self.difference > 0:
            verdict = "The second is significantly better"
        else:
            verdict = "The first is significantly better"
        better, other = self.second_only, self.first_only
        if self.difference < 0:
            better, other = other, better
        test = "McNemar" if self.groups is None else f"{self.groups} groups, sign-flip"
        return (
            f"{verdict}: {better} photos that only it gets right against {other} "
            f"({test} p = {self.p_value:.2g}); top-1 {second:.3f} against {first:.3f}, "
            f"difference {100 * self.difference:+.1f} points "
            f"(95 % interval {low:+.1f} to {high:+.1f})."
        )


def paired(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    groups: NDArray[np.integer] | None = None,
) -> PairedTest:
    """Compare two classifiers by which of the same images, `n`, each gets right."""
    if len(first) != len(second) or not len(first):
        raise DataError(
            f"One classifier answered {len(first)} photos, the other {len(second)}.",
            expected="Both must have answered the same photos, at least one.",
        )
    more = second.astype(np.int64) - first
    own = np.arange(len(first)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(own, more).round().astype(np.int64)
    return PairedTest(
        images=len(first),
        both=int((first & second).sum()),
        first_only=int((first & ~second).sum()),
        second_only=int((second & ~first).sum()),
        interval=difference_interval(first, second, groups),
        p_value=sign_flip_p(sums),
        groups=len(sums) if len(sums) < len(first) else None,
    )


DRAWS = 10_000
"""Random accuracies by which the luck of the best is judged."""


@dataclass(frozen=True, eq=False)
class PairwiseDifferences:
    """Accuracies of `s` stages, each compared with each other one on the same images."""

    accuracy: NDArray[np.float64]
    """`s`."""
    low: NDArray[np.float64]
    """`s s`, lower end of the 95 % interval of the accuracy of the row less that of the column."""
    high: NDArray[np.float64]
    """`s s`, its upper end."""
    covariance: NDArray[np.float64]
    """`s s`, of the accuracies, whose groups are drawn as wholes."""
    units: int
    """Groups, or images where each stands for itself."""

    @cached_property
    def noise(self) -> NDArray[np.float32]:
        """`s DRAWS`, random errors of the accuracies; the same each time."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        normal = np.random.default_rng(0).standard_normal((len(root), DRAWS), np.float32)
        noise: NDArray[np.float32] = root.astype(np.float32) @ normal
        return noise

    @cached_property
    def worst_case(self) -> NDArray[np.float64]:
        """`s`, the lower end against whichever other stage is worst for it; 0 if there is none."""
        if len(self.low) == 1:
            return np.zeros(1)
        others = np.where(np.eye(len(self.low), dtype=bool), np.inf, self.low)
        found: NDArray[np.float64] = others.min(1)
        return found


def pairwise_differences(
    right: NDArray[np.bool_], groups: NDArray[np.integer] | None = None
) -> PairwiseDifferences:
    """The intervals of `difference_interval` for all pairs of `right`, `s n`, and the covariance.

    Example:
        >>> pairs = pairwise_differences(np.arange(100) < np.array([[90], [80]]))
        >>> pairs.low[1, 0].round(3), pairs.high[1, 0].round(3)
        (np.float64(-0.159), np.float64(-0.037))
    """
    n = right.shape[1]
    hits = right.astype(np.float64)
    own = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(own).astype(np.float64)
    sums = hits if groups is None else np.stack([np.bincount(own, row) for row in hits])
    total, both, products = hits.sum(1), hits @ hits.T, sums @ sums.T
    accuracy = total / n
    # Of each pair, row less column: images that only one of the two gets right.
    gained, lost = total[:, None] - both, total[None, :] - both
    squares = gained + lost - (gained - lost) ** 2 / n
    crossed = np.outer(sums @ sizes, accuracy)
    centred = products - crossed - crossed.T + np.outer(accuracy, accuracy) * (sizes**2).sum()
    own_squares = np.diag(centred)
    of_groups = own_squares[:, None] + own_squares[None, :] - 2 * centred
    beyond = float((sizes * (sizes - 1)).sum()) / n  # others in an image's group, on average
    agreement = ((of_groups - squares) / beyond + PSEUDO) / (squares + PSEUDO) if beyond else 0.0
    share = 1 / (1 + np.clip(agreement, 0, 1) * beyond)
    more, fewer, images = gained * share + 0.5, lost * share + 0.5, n * share + 2
    middle = (more - fewer) / images
    half = Z * np.sqrt(more + fewer - (more - fewer) ** 2 / images) / images
    m = len(sizes)
    covariance = centred / n**2 * m / max(1, m - 1)
    return PairwiseDifferences(accuracy, middle - half, middle + half, covariance, m)


def adjusted_p_values(pairs: PairwiseDifferences, best: int) -> NDArray[np.float64]:
    """How often stages that are all equal would differ as much as each does from the best.

    For each stage: the share of random draws in which the largest difference of any two stages, in
    standard errors, reaches its own. So if all are equal, none is called worse at the level of
    5 % in 95 % of the cases, whichever came out best. (Hsu's comparisons with the best keep that
    promise only for one best stage: of several equal ones they may call all but one worse.)

    Example:
        >>> right = np.arange(100) < np.array([[90], [90], [60]])
        >>> adjusted_p_values(pairwise_differences(right), 0).round(1).tolist()
        [1.0, 1.0, 0.0]

    References: Tukey, "The problem of multiple comparisons", 1953; Hsu, "Multiple Comparisons",
    1996; Chernozhukov, Chetverikov and Kato, "Gaussian approximations and multiplier bootstrap",
    Annals of Statistics 2013.
    """
    middle = (pairs.high + pairs.low)[best] / 2
    errors = (pairs.high - pairs.low)[best] / (2 * Z)
    # If the two are equal, what they differ by is chance, and its square belongs to the variance.
    deviation = np.abs(middle) / np.sqrt(errors**2 + middle**2 / pairs.units)
    deviation[best] = 0.0
    largest = _largest_differences(pairs)
    reached = len(largest) - np.searchsorted(np.sort(largest), deviation, side="left")
    p: NDArray[np.float64] = (reached + 1) / (len(largest) + 1)
    return p


def optimism(pairs: PairwiseDifferences, contenders: NDArray[np.bool_]) -> float:
    """How much too good the best stage's accuracy is on average, because it was chosen by it.

    Accuracies of the contenders are drawn towards their mean until their spread is what is left
    of it without noise; those of the others are far enough from the best to be left where they
    are. Then noise is added again: how lucky is the winner?

    Example:
        >>> hard, luck = np.random.default_rng(0).random((2, 20, 500))
        >>> equal = pairwise_differences(luck < 0.8)
        >>> 0.02 < optimism(equal, np.full(20, True)) < 0.04
        True

    References: Efron, "Tweedie's formula and selection bias", Journal of the American Statistical
    Association 2011; Louis, "Estimating a population of parameter values", Journal of the American
    Statistical Association 1984 (estimates that are spread as the truth is).
    """
    likely = pairs.accuracy.copy()
    k = int(contenders.sum())
    if k > 1:
        own = likely[contenders]
        noise = pairs.covariance[np.ix_(contenders, contenders)]
        noise_variance = float(np.trace(noise) - noise.sum() / k) / (k - 1)
        variance = float(own.var(ddof=1))
        kept = max(0.0, 1 - noise_variance / variance) if variance else 0.0
        likely[contenders] = own.mean() + np.sqrt(kept) * (own - own.mean())
    drawn = likely[:, None] + pairs.noise
    # No accuracy is beyond 1: near it there is less room for luck.
    luck = np.minimum(1.0, drawn.max(0)) - likely[drawn.argmax(0)]
    return max(0.0, float(luck.mean()))


def _largest_differences(pairs: PairwiseDifferences) -> NDArray[np.float64]:
    """`DRAWS`, the largest difference of any two equal stages, in standard errors."""
    variances = np.diag(pairs.covariance)
    of_pairs = variances[:, None] + variances[None, :] - 2 * pairs.covariance
    # Stages that are right on the same images differ by rounding errors only.
    differ = of_pairs > 1e-12 * variances.max(initial=0.0)
    scale = np.where(differ, 1 / np.sqrt(np.where(differ, of_pairs, 1.0)), 0.0).astype(np.float32)
    largest = np.zeros(DRAWS, np.float32)
    for i in range(1, len(variances)):
        deviation = np.abs(pairs.noise[:i] - pairs.noise[i]) * scale[i, :i, None]
        np.maximum(largest, deviation.max(0), out=largest)
    # Variances of few groups are themselves uncertain: a multivariate t distribution.
    freedom = max(1, pairs.units - 1)
    squares = np.random.default_rng(1).chisquare(freedom, DRAWS)
    found: NDArray[np.float64] = largest / np.sqrt(squares / freedom)
    return found
