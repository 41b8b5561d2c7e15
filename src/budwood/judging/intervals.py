"""How far a measured share may be from the truth."""

from math import sqrt
from statistics import NormalDist

from budwood.errors import ConfigError, DataError


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The accuracies that `correct` of `n` photos speaks for: Wilson's score interval.

    Unlike the usual plus-or-minus it stays inside 0 and 1 and is right for few photos, too.

    Raises:
        DataError: If there are no photos, or `correct` is not between 0 and `n`.
        ConfigError: If `confidence` is not between 0 and 1.

    Example:
        >>> low, high = wilson_interval(509, 550)
        >>> round(low, 3), round(high, 3)
        (0.9, 0.945)

    Reference: Wilson, "Probable inference", Journal of the American Statistical Association 1927.
    """
    if n < 1 or not 0 <= correct <= n:
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


def paired_interval(gained: int, lost: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a difference of two accuracies on the same photos.

    Args:
        gained: Photos that only the second gets right.
        lost: Photos that only the first gets right.
        n: Photos in all.

    Example:
        >>> low, high = paired_interval(14, 12, 1000)
        >>> round(low, 3), round(high, 3)
        (-0.008, 0.012)

    Reference: Agresti and Min, "Simple improved confidence intervals for comparing matched
    proportions", Statistics in Medicine, 2005.
    """
    photos, more, fewer = n + 2, gained + 0.5, lost + 0.5
    middle = (more - fewer) / photos
    half = 1.96 * sqrt(more + fewer - (more - fewer) ** 2 / photos) / photos
    return middle - half, middle + half
