"""The colours of drawings, for light pages and for dark ones, as a style sheet for SVG."""

FONTS = "'Helvetica Neue', Helvetica, Arial, 'Noto Sans', 'DejaVu Sans', sans-serif"

_STATES = ("frozen", "trainable", "partly", "none")

_LIGHT = {
    "page": "#ffffff",
    "ink": "#1d1d20",
    "muted": "#62626b",
    "line": "#5c5c66",
    "border": "#8a8a93",
    "tint": "#000000",
    "shortcut": "#a03ab4",
    "frozen": ("#3584e4", "#e1edfb"),
    "trainable": ("#26a269", "#dcf3e7"),
    "partly": ("#c88800", "#fbefd3"),
    "none": ("#9a9aa2", "#f3f3f5"),
}
_DARK = {
    "page": "#1b1b1f",
    "ink": "#f2f2f4",
    "muted": "#a9a9b2",
    "line": "#a9a9b2",
    "border": "#74747d",
    "tint": "#ffffff",
    "shortcut": "#d78be6",
    "frozen": ("#62a0ea", "#1c3350"),
    "trainable": ("#33c483", "#153a2a"),
    "partly": ("#e5b340", "#423311"),
    "none": ("#85858e", "#2a2a30"),
}
"""Lines of a box and what is inside them, by state; the same hues as in the tables."""


def style_sheet() -> str:
    """The rules for every class that drawings use.

    Plain rules come first, so that programs that know no media queries show the light colours.
    """
    always = (
        f"text{{font-family:{FONTS}}}"
        ".title{font-size:13px;font-weight:700}.small,.muted{font-size:11px}"
        ".head{font-size:20px;font-weight:700}"
        "path{fill:none;stroke-width:1.5}.identity,.projection{stroke-width:2.2}"
        ".projection{stroke-dasharray:6 4}"
        ".box{stroke-width:1.5}.trainable{stroke-width:2}"
        ".frame{fill-opacity:.03;stroke-width:1}"
    )
    return f"{always}{_rules(_LIGHT)}@media(prefers-color-scheme:dark){{{_rules(_DARK)}}}"


def _rules(colours: dict[str, str | tuple[str, str]]) -> str:
    boxes = "".join(
        f".{state}{{stroke:{colours[state][0]};fill:{colours[state][1]}}}" for state in _STATES
    )
    return (
        f".page{{fill:{colours['page']}}}"
        f".head,.title,.small{{fill:{colours['ink']}}}.muted{{fill:{colours['muted']}}}"
        f"path{{stroke:{colours['line']}}}"
        f".arrow,.dot{{fill:{colours['line']}}}"
        f".frame{{fill:{colours['tint']};stroke:{colours['border']}}}"
        f".behind{{fill:{colours['page']};stroke:{colours['border']}}}"
        f"path.identity,path.projection{{stroke:{colours['shortcut']}}}"
        f".arrow.identity,.arrow.projection,.dot.identity,.dot.projection"
        f"{{fill:{colours['shortcut']};stroke:none}}{boxes}"
    )
