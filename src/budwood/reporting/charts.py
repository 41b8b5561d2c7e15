"""The charts of a report: reliability, learning curve, epochs, the search for a penalty."""

from collections.abc import Sequence
from typing import Any

from budwood.judging.calibration import Bin
from budwood.reporting.facts import Growth
from budwood.reporting.plotting import Chart, Scale, linear, logarithmic
from budwood.reporting.words import Words
from budwood.text import percent

_TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _percents(values: Sequence[float]) -> Scale:
    """A scale of shares, whose ends are at most 0 and 1 and whose ticks tell apart."""
    scale = linear(values)
    ticks = tuple(tick for tick in scale.ticks if tick <= 1)
    digits = 0 if all(abs(100 * t - round(100 * t)) < 1e-6 for t in ticks) else 1
    return Scale(ticks[0], max(ticks[-1], min(1.0, max(values))), ticks,
                 lambda share: percent(share, digits))  # fmt: skip


def reliability_chart(bins: Sequence[Bin], words: Words) -> str:
    """Accuracy over confidence, with intervals, beside the diagonal of perfect calibration.

    Args:
        bins: Those that hold photos.
        words: The reader's language.
    """
    whole = Scale(0, 1, _TENTHS, lambda share: percent(share, 0))
    chart = Chart(words["reliability.chart"], whole, whole, words["confidence"], words["accuracy"],
                  width=360, height=340)  # fmt: skip
    chart.line([(0, 0), (1, 1)], "muted dashed")
    chart.bars([(b.confidence, *b.interval) for b in bins])
    chart.dots([(b.confidence, b.accuracy) for b in bins])
    return str(chart)


def growth_chart(growth: Growth, words: Words) -> str:
    """Accuracy over training photos, with intervals, and where it is forecast to go."""
    points = growth.points
    ahead = [] if growth.forecast is None else [growth.forecast]
    all_x = [0, *(p.photos for p in (*points, *ahead))]
    ends = [end for p in (*points, *ahead) for end in p.interval]
    chart = Chart(words["growth.chart"], linear(all_x, "{:,.0f}".format), _percents(ends),
                  words["training photos"], words["accuracy"])  # fmt: skip
    chart.line([(p.photos, p.accuracy) for p in points])
    chart.bars([(p.photos, *p.interval) for p in points])
    chart.dots([(p.photos, p.accuracy) for p in points])
    for p in ahead:
        chart.line([(points[-1].photos, points[-1].accuracy), (p.photos, p.accuracy)],
                   "other dashed")  # fmt: skip
        chart.bars([(p.photos, *p.interval)], "other")
        chart.dots([(p.photos, p.accuracy)], "other")
    return str(chart)


def epoch_chart(history: Sequence[dict[str, Any]], words: Words) -> str:
    """Loss over epochs, and the loss on validation photos if there are any."""
    losses = [row["loss"] for row in history]
    losses += [row["val_loss"] for row in history if "val_loss" in row]
    epochs = [row["epoch"] for row in history]
    ticks = tuple(t for t in linear([1, *epochs]).ticks if t == round(t) and t <= epochs[-1])
    x = Scale(min(1, ticks[0]), max(epochs[-1], 2), ticks, "{:.0f}".format)
    chart = Chart(words["epochs.chart"], x, linear([0, *losses]), words["epoch"], words["loss"])
    for name, style, word in (
        ("loss", "main", "training"),
        ("val_loss", "other dashed", "validation"),
    ):
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            chart.line(points, style)
            if len(points) == 1:
                chart.dots(points, style.split()[0])
            chart.text(*points[-1], words[word], style.split()[0])
    return str(chart)


def penalty_chart(candidates: Sequence[dict[str, float]], chosen: float, words: Words) -> str:
    """Cross-validated loss over the penalty, with standard errors, and the one that was chosen."""
    points = [(c["penalty"], c["loss"]) for c in candidates]
    ends = [(c["penalty"], c["loss"] - c["standard_error"], c["loss"] + c["standard_error"])
            for c in candidates]  # fmt: skip
    y = linear([0, *(high for _, _, high in ends)])
    chart = Chart(words["penalty.chart"], logarithmic([p for p, _ in points]), y,
                  words["penalty"], words["held-out loss"])  # fmt: skip
    chart.line(points)
    chart.bars(ends)
    chart.dots(points)
    best = next((loss for penalty, loss in points if penalty == chosen), None)
    if best is not None:
        chart.dots([(chosen, best)], "other")
        chart.text(chosen, best + 0.05 * y.high, words["chosen"], "other", "middle")
    return str(chart)
