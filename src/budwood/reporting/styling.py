"""The style sheet of a report, that of the drawing in it included, for light, dark and print."""

import re
from functools import cache
from importlib.resources import files

from budwood.drawing.colours import style_sheet

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
