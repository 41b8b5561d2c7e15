"""A comparison of networks as text, 100 columns wide at most."""

from budwood.judging.comparison import Comparison, Place
from budwood.text import aligned

HEAD = (
    "cut after", "width", "top-1", "95 %", "bal.", "ms", "MB", "fit s", "LogME",
    "H-score", "",
)  # fmt: skip
LEGEND = (
    "95 %: the interval of top-1. bal.: balanced accuracy. ms, MB: of one image up to there.\n"
    "= not significantly different from the best   * Pareto-optimal   > recommended"
)
LONGEST = 22
"""Letters of a stage's name; of a longer one the end is shown."""


def comparison_table(comparison: Comparison) -> str:
    """A line for each stage under the name of its network, a legend, the luck of the best and the
    recommendation."""
    by_stage = {place.stage: place for place in comparison.places}
    rows: list[tuple[str, ...]] = [HEAD]
    titles: dict[int, str] = {}
    for network in comparison.networks:
        titles[len(rows)] = _title(network.title, network.download)
        rows += [_row(comparison, by_stage[stage]) for stage in network.stages]
    lines = []
    for number, line in enumerate(aligned(rows).splitlines()):
        if number in titles:
            lines += ["", titles[number]]
        lines.append(f"  {line}")
    skipped = [f"Not compared: {name}: {reason}" for name, reason in comparison.skipped]
    head = (
        f"{comparison.photos:,} training images of {len(comparison.classes)} classes in "
        f"{comparison.folds} folds; {100 * comparison.largest_class:.1f} % are of the largest "
        "class."
    )
    recommended = f"Recommended: {comparison.recommendation}"
    parts = [head, "\n".join(lines), LEGEND, *skipped, comparison.optimism_note, recommended]
    return "\n\n".join(part for part in parts if part)


def _title(name: str, download: int | None) -> str:
    return name if download is None else f"{name}, {download / 1e6:.1f} MB to download"


def _row(comparison: Comparison, place: Place) -> tuple[str, ...]:
    stage = place.stage
    low, high = stage.interval
    marks = (
        ("=", place.is_tie),
        ("*", place in comparison.front),
        (">", place is comparison.recommended),
    )
    return (
        stage.name if len(stage.name) <= LONGEST else f"...{stage.name[3 - LONGEST :]}",
        str(stage.width),
        f"{stage.top1:.3f}",
        f"{low:.3f}-{high:.3f}",
        f"{stage.balanced_accuracy:.3f}",
        _digits(1000 * stage.seconds),
        _digits(stage.memory / 1e6),
        f"{stage.fit_seconds:.1f}",
        f"{stage.logme:.3f}",
        f"{stage.h_score:.2f}",
        "".join(mark if is_so else " " for mark, is_so in marks),
    )


def _digits(value: float) -> str:
    """Three digits, or all before the point.

    Example:
        >>> _digits(0.1234), _digits(12.34), _digits(1234.5)
        ('0.12', '12.3', '1234')
    """
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
