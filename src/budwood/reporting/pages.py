"""The report and the model card: one HTML file, and Markdown beside it."""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from itertools import groupby
from math import sqrt
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from budwood.drawing.svg import style_sheet
from budwood.files import whole_file
from budwood.intervals import wilson_interval
from budwood.machine import installed_version
from budwood.reporting.charts import epoch_chart, growth_chart, l2_chart, reliability_chart
from budwood.reporting.records import command_of
from budwood.reporting.report_data import Cell, ReportData
from budwood.reporting.words import Words
from budwood.text import percent, visible

REPORT, CARD = "report.html", "model-card.md"
"""What they are called in the folder of a run."""
CLASSES = 30
"""Classes that are listed; of more, those with the lowest recall."""
LISTED, FOUND, LAYERS = 50, 12, 8
"""Missing photos, issues of a kind and trained layers that are named; of more, the number."""
EQUAL = 4
"""Photos that are shown of those in one issue."""
_LEGEND = ("frozen", "trainable", "frozen in part", "no parameters",
           "identity shortcut", "projection shortcut")  # fmt: skip
_DARK = "@media(prefers-color-scheme:dark){"


@cache
def page_style() -> str:
    """All rules of the page."""
    sheet = (files("budwood.reporting") / "templates" / "style.css").read_text("utf-8")
    return (
        sheet
        + drawing_rules(".drawing", is_dark=False)
        + "@media screen and (prefers-color-scheme:dark){"
        + drawing_rules(":root:not([data-theme=light]) .drawing", is_dark=True)
        + "}@media screen{"
        + drawing_rules(":root[data-theme=dark] .drawing", is_dark=True)
        + "}"
    )


def drawing_rules(scope: str, *, is_dark: bool) -> str:
    """The rules for drawings below a selector, so that they touch nothing else in the page.

    Example:
        >>> drawing_rules(".drawing", is_dark=False).startswith(".drawing text{font-family:")
        True
    """
    light, _, dark = style_sheet().partition(_DARK)
    rules = dark.removesuffix("}") if is_dark else light
    return re.sub(r"([^{}]+)\{", lambda found: _scoped(scope, found[1]) + "{", rules)


def _scoped(scope: str, selectors: str) -> str:
    return ",".join(f"{scope} {selector}" for selector in selectors.split(","))


def report_page(facts: ReportData, words: Words) -> str:
    """The report as one HTML file that needs no other."""
    result, parameters = facts.record.result, facts.record.result["parameters"]
    probe = result["probe"]
    steps = {name: s for name, s in result["seconds"].items() if name != "total"}
    context = _shared(facts, words) | {
        "style": Markup(page_style()),
        "drawing": facts.drawing and Markup(_translated(facts.drawing, words)),
        "settings": json.dumps(facts.record.request.to_json(), indent=2, ensure_ascii=False),
        "layers_said": _layers(facts, words),
        "trained_share": parameters["trainable"] / max(1, parameters["total"]),
        "epochs_chart": result["epochs"] and Markup(epoch_chart(result["epochs"], words)),
        "penalty_chart": probe
        and probe["candidates"]
        and Markup(l2_chart(probe["candidates"], probe["l2_strength"], words)),
        "reliability_chart": facts.reliability
        and Markup(reliability_chart(facts.reliability.bins, words)),
        "growth_chart": facts.growth and Markup(growth_chart(facts.growth, words)),
        "has_photos": any(c.shown for row in (*facts.cells, facts.confusions) for c in row),
        "share": _shares(result["test"]),
        "steps": steps,
        "longest": max(steps.values(), default=1) or 1,
        "audit_command": shlex.join(["budwood", "audit", str(facts.record.request.data)]),
        "most_listed": LISTED,
        "most_found": FOUND,
        "most_equal": EQUAL,
        "version": installed_version("budwood"),
    }
    return _environment().get_template("report.html").render(context)


def model_card(facts: ReportData, words: Words) -> str:
    """What a user of the classifier should know, as Markdown."""
    context = _shared(facts, words) | {"run_word": shlex.quote(str(facts.record.folder))}
    return _environment().get_template("card.md").render(context)


def write_pages(facts: ReportData, folder: Path, words: Words) -> tuple[Path, Path]:
    """Put the report and the card into a folder, each whole or not at all."""
    made = (folder / REPORT, report_page(facts, words)), (folder / CARD, model_card(facts, words))
    for path, text in made:
        with whole_file(path) as file:
            file.write(text.encode(errors="backslashreplace"))
    return made[0][0], made[1][0]


def _shared(facts: ReportData, words: Words) -> dict[str, Any]:
    """What both are made from: the keys of `result.json`, and what is found from them."""
    record, result = facts.record, facts.record.result
    weights = result["weights"]
    return {
        **result,
        "facts": facts,
        "record": record,
        "result": result,
        "request": record.request,
        "weights": words["weights.random"]
        if weights == "none"
        else words.say("weights.named", weights=weights),
        "data": record.request.data.resolve().stem,
        "command": command_of(record.request),
        "class_rows": class_rows(result["test"]),
        "small_classes": ", ".join(f"{c} ({n})" for c, n in record.small_classes().items()),
        "by_kind": [(k, list(f)) for k, f in groupby(facts.found, lambda found: found.kind)],
        "w": words,
        "say": words.say,
    }


def class_rows(test: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The classes, each with the `interval` of its recall; of very many the worst."""
    rows = [{**c, "interval": _interval(c)} for c in (test["classes"] if test else ())]
    if len(rows) > CLASSES:
        rows = sorted(rows, key=lambda c: 1.0 if c["recall"] is None else c["recall"])[:CLASSES]
    return rows


def _interval(one: Mapping[str, Any]) -> Sequence[float]:
    """The interval of a class's recall; runs of 0.1.0 did not write it down."""
    if not one["images"]:
        return 0.0, 0.0
    known: Sequence[float] | None = one.get("recall_interval")
    return known or wilson_interval(round(one["recall"] * one["images"]), one["images"])


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("budwood.reporting"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "percent": _percent,
        "points": lambda share: f"{100 * share:.1f}",
        "count": lambda number: f"{number:,}",
        "seconds": _duration,
        "md": _for_markdown,
    }
    made.filters.update(filters)
    return made


def _translated(drawing: str, words: Words) -> str:
    """A drawing whose legend is in the reader's language."""
    for name in _LEGEND:
        drawing = drawing.replace(f">{name}</text>", f">{escape(words[f'drawn.{name}'])}</text>")
    return drawing


def _layers(facts: ReportData, words: Words) -> str:
    """What trains, in words."""
    parameters = facts.record.result["parameters"]
    if parameters["trainable"] == parameters["total"]:
        return words["network.all"]
    more = len(facts.layers) - LAYERS
    named = [*facts.layers[:LAYERS], *([words.say("more", more=more)] if more > 0 else [])]
    return ", ".join(named) or "–"


def _shares(test: Mapping[str, Any] | None) -> Callable[[Cell], str]:
    """From a cell to how strong its colour is: the root of its share, so that few are seen too."""
    images = {c["name"]: c["images"] for c in (test["classes"] if test else ())}
    return lambda cell: f"{sqrt(cell.images / max(1, images[cell.label])):.2f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share).replace(" ", "\N{NO-BREAK SPACE}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    return f"{seconds / 60:.1f}\N{NO-BREAK SPACE}min"


def _for_markdown(text: object) -> str:
    """Text that means itself in Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|" else c for c in visible(str(text)))
