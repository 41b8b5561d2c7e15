"""How far a measured share may be from the truth, where images may belong together.

Wilson's interval takes images to be independent. Frames of one video or images of one plant are
not: where one is wrong its neighbours tend to be. `effective_size` says how many independent images
they are worth, from how much members of a group agree, and every interval here is that of so many.

Agreement is measured on few groups, or on groups that are all right, which say nothing of it. So
it is drawn towards full agreement by `PSEUDO` images: of 60 bursts that are all right, 60 images
count, however many frames they have; of bursts that are often half right, nearly all of them.

References: Kish, "Survey Sampling", 1965 (the design effect); Korn and Graubard, "Confidence
intervals for proportions with small expected number of positive counts", Survey Methodology 1998
(an interval for the effective size).
"""

from math import comb, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from budwood.errors import ConfigError, DataError

PSEUDO = 2.0
"""Images' worth of full agreement within groups that is added to what is measured."""
Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson_interval(correct: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The accuracies that `correct` of `n` independent images speaks for: Wilson's score interval.

    Unlike the usual plus-or-minus it stays inside 0 and 1 and is right for few images, too. Both
    numbers may be effective ones, and so no whole numbers.

    Raises:
        DataError: If there are no images, or `correct` is not between 0 and `n`.
        ConfigError: If `confidence` is not between 0 and 1.

    Example:
        >>> low, high = wilson_interval(509, 550)
        >>> round(low, 3), round(high, 3)
        (0.9, 0.945)

    Reference: Wilson, "Probable inference", Journal of the American Statistical Association 1927.
    """
    if not n > 0 or not 0 <= correct <= n:
        raise DataError(
            f"{correct} right of {n} photos is no accuracy.",
            expected="There must be at least one photo, and 0 to all of them right.",
        )
    if not 0 < confidence < 1:
        raise ConfigError(
            f"confidence is {confidence}.", expected="It must lie between 0 and 1, such as 0.95."
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = correct / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if correct == 0 else middle - reach
    high = 1.0 if correct == n else middle + reach
    return low, high


def effective_size(
    values: NDArray[np.floating] | NDArray[np.bool_], groups: NDArray[np.integer] | None
) -> float:
    """How many independent images are worth as much as these, for the mean of their values.

    Args:
        values: `n`, none beyond -1 or 1, such as whether each image is predicted correctly.
        groups: `n`, images of one group have one number; None: each image stands for itself.

    Example:
        >>> groups = np.repeat(np.arange(60), 5)
        >>> effective_size(np.ones(300), groups)  # all right: 60 bursts count as 60
        60.0
        >>> round(effective_size(np.arange(300) % 5 > 0, groups))  # one of each burst is wrong
        300
    """
    n = len(values)
    if groups is None or n == 0:
        return float(n)
    _, own, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    beyond = float((sizes * (sizes - 1)).sum()) / n  # others in an image's group, on average
    if beyond == 0:
        return float(n)
    residuals = values.astype(np.float64) - float(values.mean())
    squares = float((residuals**2).sum())
    sums = np.bincount(own, residuals)
    together = float((sums**2).sum()) - squares
    agreement = (together / beyond + PSEUDO) / (squares + PSEUDO)
    return n / (1 + min(1.0, max(0.0, agreement)) * beyond)


def accuracy_interval(
    right: NDArray[np.bool_] | NDArray[np.floating],
    groups: NDArray[np.integer] | None = None,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The accuracies on images of new groups that these speak for: Wilson's interval for as many
    independent images as they are worth.

    Args:
        right: `n`, whether each image is predicted correctly, or in which share of the trials.
        groups: `n`; None: each image stands for itself.
        confidence: How often such intervals hold the truth.

    Example:
        >>> right = np.repeat(np.arange(60) % 10 > 0, 5)  # 60 bursts of 5, a tenth of them wrong
        >>> [round(end, 2) for end in accuracy_interval(right)]
        [0.86, 0.93]
        >>> [round(end, 2) for end in accuracy_interval(right, np.repeat(np.arange(60), 5))]
        [0.8, 0.95]
    """
    size = effective_size(right, groups)
    share = float(right.mean()) if len(right) else 0.0
    return wilson_interval(min(size, share * size), size, confidence)


def paired_interval(gained: float, lost: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a difference of two accuracies on the same independent images.

    Example:
        >>> low, high = paired_interval(14, 12, 1000)
        >>> round(low, 3), round(high, 3)
        (-0.008, 0.012)

    Reference: Agresti and Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine, 2005.
    """
    images, more, fewer = n + 2, gained + 0.5, lost + 0.5
    middle = (more - fewer) / images
    half = Z * sqrt(more + fewer - (more - fewer) ** 2 / images) / images
    return middle - half, middle + half


def difference_interval(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    groups: NDArray[np.integer] | None = None,
) -> tuple[float, float]:
    """The 95 % interval of the second accuracy less the first, on the same images.

    Args:
        first: `n`, whether each image is predicted correctly.
        second: `n`, likewise.
        groups: `n`; None: each image stands for itself.

    Example:
        >>> first, second = np.zeros(100, bool), np.arange(100) < 10
        >>> [round(end, 3) for end in difference_interval(first, second)]
        [0.037, 0.159]
    """
    n = len(first)
    share = effective_size(second.astype(np.float64) - first, groups) / n
    gained, lost = float((second & ~first).sum()), float((first & ~second).sum())
    return paired_interval(gained * share, lost * share, n * share)


def mean_interval(
    values: NDArray[np.floating], groups: NDArray[np.integer] | None = None
) -> tuple[float, float, float]:
    """The mean of values between -1 and 1 and its 95 % interval, by the normal distribution.

    Args:
        values: `n`, such as confidence less correctness.
        groups: `n`; None: each stands for itself.

    Example:
        >>> middle, low, high = mean_interval(np.array([0.1, -0.1] * 50))
        >>> round(high - middle, 3)
        0.02
    """
    size = effective_size(values, groups)
    middle = float(values.mean())
    # One pseudo value of each sign keeps the interval open where all values are the same.
    squares = float(((values - middle) ** 2).mean()) * size
    half = Z * sqrt((squares + 0.5 * middle**2) / size / max(size - 1, 1))
    return middle, middle - half, middle + half


def standard_error(
    values: NDArray[np.floating], groups: NDArray[np.integer] | None = None
) -> float:
    """The standard error of the mean of values, whose groups are drawn at random as wholes.

    Args:
        values: `n`, of any size, such as losses.
        groups: `n`; None: each stands for itself.

    Example:
        >>> values = np.array([0.0, 1.0, 0.0, 1.0])
        >>> groups = np.array([0, 1, 0, 1])
        >>> round(standard_error(values), 3), round(standard_error(values, groups), 3)
        (0.289, 0.5)
    """
    residuals = values - values.mean()
    if groups is not None:
        residuals = np.bincount(np.unique(groups, return_inverse=True)[1], residuals)
    m = len(residuals)
    return float(np.sqrt((residuals**2).sum() * m / max(1, m - 1))) / max(1, len(values))


def sign_flip_p(sums: NDArray[np.integer]) -> float:
    """How often random signs would move so many groups as far to one side: an exact paired test.

    With groups of one image it is McNemar's exact test. Larger groups swing as a whole, so that
    ten frames of one video are no ten witnesses.

    Example:
        >>> round(sign_flip_p(np.array([1] * 20 + [-1] * 4)), 4)
        0.0015
        >>> sign_flip_p(np.array([20, -4]))
        1.0

    Reference: McNemar, "Note on the sampling error of the difference between correlated
    proportions", Psychometrika 1947; Fisher, "The Design of Experiments", 1935, section 21.
    """
    sizes = np.abs(sums[sums != 0]).astype(int)
    if not len(sizes):
        return 1.0
    chances = _of_single_steps(int((sizes == 1).sum()))
    for size in sizes[sizes > 1].tolist():
        moved = np.zeros(len(chances) + 2 * size)
        moved[: len(chances)] += 0.5 * chances
        moved[2 * size :] += 0.5 * chances
        chances = moved
    far = np.abs(np.arange(len(chances)) - len(chances) // 2) >= abs(int(sums.sum()))
    return min(1.0, float(chances[far].sum()))


def _of_single_steps(n: int) -> NDArray[np.float64]:
    """How likely the sum of `n` random signs is each of -n to n."""
    chances = np.zeros(2 * n + 1)
    if n < 1000:  # beyond, 2 to the power of n is no float
        chances[::2] = [comb(n, j) / 2**n for j in range(n + 1)]
    else:
        j = np.arange(n)
        logs = np.concatenate([[0.0], np.cumsum(np.log((n - j) / (j + 1)))]) - n * log(2)
        chances[::2] = np.exp(logs)
    return chances
