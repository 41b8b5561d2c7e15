"""The charts of a report, as SVG that takes the colours of the page around it.

Matplotlib draws in stand-in colours, which are then replaced by the page's variables; text stays
text, in the page's font. So a chart follows light and dark pages, and print.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from budwood.judging.calibration import Bin
from budwood.judging.intervals import wilson_interval
from budwood.judging.learning_curve import Forecast, Point
from budwood.judging.metrics import ClassResult

INK, MUTED, MAIN, OTHER = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", MAIN: "var(--main)", OTHER: "var(--other)"}
_STYLE: Any = {  # its type names every setting of Matplotlib
    "svg.fonttype": "none",
    "svg.hashsalt": "budwood",  # equal charts get equal names inside
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def reliability_chart(bins: Sequence[Bin], words: dict[str, str]) -> str:
    """Accuracy over confidence, with intervals, beside the diagonal of perfect calibration.

    Args:
        bins: Those that hold photos.
        words: `confidence` and `accuracy` in the reader's language.
    """
    with rc_context(_STYLE):
        figure, axes = _figure(4.6, 4.2)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
        x = [b.confidence for b in bins]
        y = [b.accuracy for b in bins]
        low = [max(0.0, b.accuracy - b.interval[0]) for b in bins]
        high = [max(0.0, b.interval[1] - b.accuracy) for b in bins]
        axes.errorbar(x, y, [low, high], color=MAIN, ecolor=MUTED, fmt="o", capsize=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=words["confidence"], ylabel=words["accuracy"])
        return _svg(figure)


def class_chart(classes: Sequence[ClassResult], words: dict[str, str]) -> str:
    """The recall of each class as a bar, with its interval; classes without photos are left out."""
    shown = [c for c in classes if c.recall is not None and c.photos]
    with rc_context(_STYLE):
        figure, axes = _figure(6.4, 0.9 + 0.32 * len(shown))
        places = range(len(shown))
        recalls = [c.recall or 0.0 for c in shown]
        ends = [
            wilson_interval(round(r * c.photos), c.photos)
            for r, c in zip(recalls, shown, strict=True)
        ]
        low = [max(0.0, r - end[0]) for r, end in zip(recalls, ends, strict=True)]
        high = [max(0.0, end[1] - r) for r, end in zip(recalls, ends, strict=True)]
        axes.barh(places, recalls, color=MAIN, height=0.62)
        axes.errorbar(recalls, places, xerr=[low, high], fmt="none", ecolor=INK, capsize=3)
        axes.set_yticks(places, [f"{c.name} ({c.photos})" for c in shown])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1), xlabel=words["recall"])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        return _svg(figure)


def learning_curve_chart(
    points: Sequence[Point], judged: int, forecast: Forecast | None, words: dict[str, str]
) -> str:
    """Accuracy over training photos, with intervals, and where it is forecast to go."""
    with rc_context(_STYLE):
        figure, axes = _figure(6.4, 3.6)
        x = [p.photos for p in points]
        y = [p.top1 for p in points]
        ends = [wilson_interval(round(p.top1 * judged), judged) for p in points]
        low = [max(0.0, v - end[0]) for v, end in zip(y, ends, strict=True)]
        high = [max(0.0, end[1] - v) for v, end in zip(y, ends, strict=True)]
        axes.errorbar(x, y, [low, high], color=MAIN, ecolor=MUTED, fmt="o-", capsize=3)
        if forecast is not None:
            below = max(0.0, forecast.top1 - forecast.interval[0])
            above = max(0.0, forecast.interval[1] - forecast.top1)
            axes.errorbar(
                [forecast.photos], [forecast.top1], [[below], [above]],
                color=OTHER, ecolor=OTHER, fmt="D", capsize=3,
            )  # fmt: skip
            axes.plot(
                [x[-1], forecast.photos], [y[-1], forecast.top1],
                color=OTHER, linewidth=1, linestyle="--",
            )  # fmt: skip
        axes.set(xlabel=words["training photos"], ylabel=words["accuracy"])
        axes.set_xlim(left=0)
        return _svg(figure)


def epoch_chart(history: Sequence[dict[str, float]], words: dict[str, str]) -> str:
    """Loss over epochs, and the loss on validation photos if there are any."""
    with rc_context(_STYLE):
        figure, axes = _figure(6.4, 3.4)
        epochs = [row["epoch"] for row in history]
        axes.plot(epochs, [row["loss"] for row in history], color=MAIN, marker=".")
        axes.annotate(words["training"], (epochs[-1], history[-1]["loss"]), color=MAIN,
                      xytext=(6, 0), textcoords="offset points", va="center")  # fmt: skip
        if "val_loss" in history[0]:
            axes.plot(epochs, [row["val_loss"] for row in history], color=OTHER, linestyle="--")
            axes.annotate(words["validation"], (epochs[-1], history[-1]["val_loss"]), color=OTHER,
                          xytext=(6, 0), textcoords="offset points", va="center")  # fmt: skip
        axes.set(xlabel=words["epoch"], ylabel=words["loss"])
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return _svg(figure)


def time_chart(seconds: dict[str, float], words: dict[str, str]) -> str:
    """Where the time went: one bar, cut into steps."""
    with rc_context(_STYLE):
        figure, axes = _figure(6.4, 1.5)
        left = 0.0
        for i, (name, length) in enumerate(seconds.items()):
            axes.barh([0], [length], left=[left], color=(MAIN, OTHER)[i % 2], height=0.6)
            if length > 0.04 * sum(seconds.values()):
                axes.annotate(
                    f"{words.get(name, name)}\n{length:.1f} s", (left + length / 2, 0.42),
                    ha="center", va="bottom", fontsize=9,
                )  # fmt: skip
            left += length
        axes.set_axis_off()
        axes.set(xlim=(0, left), ylim=(-0.35, 1.2))
        return _svg(figure)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The SVG element alone, in the page's colours and font, as wide as the page allows."""
    file = BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue().decode()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text.replace("font: ", "font-family: inherit; font-size: ")
