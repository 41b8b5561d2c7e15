"""The colours of drawings, for light pages and for dark ones, as a style sheet for SVG."""

FONTS = "'Helvetica Neue', Helvetica, Arial, 'Noto Sans', 'DejaVu Sans', sans-serif"

_LIGHT = {
    "page": "#ffffff",
    "ink": "#1d1d20",
    "muted": "#62626b",
    "line": "#5c5c66",
    "border": "#8a8a93",
    "tint": "#000000",
    "shortcut": "#a03ab4",
}
_DARK = {
    "page": "#1b1b1f",
    "ink": "#f2f2f4",
    "muted": "#a9a9b2",
    "line": "#a9a9b2",
    "border": "#74747d",
    "tint": "#ffffff",
    "shortcut": "#d78be6",
}

_LIGHT_BOXES = {
    "frozen": ("#3584e4", "#e1edfb"),
    "trainable": ("#26a269", "#dcf3e7"),
    "partly": ("#c88800", "#fbefd3"),
    "none": ("#9a9aa2", "#f3f3f5"),
}
_DARK_BOXES = {
    "frozen": ("#62a0ea", "#1c3350"),
    "trainable": ("#33c483", "#153a2a"),
    "partly": ("#e5b340", "#423311"),
    "none": ("#85858e", "#2a2a30"),
}
"""By state: the line around a box, and what is inside it. The hues are those of the tables."""

_ALWAYS = (
    f"text{{font-family:{FONTS}}}"
    ".title{font-size:13px;font-weight:700}.small,.muted{font-size:11px}"
    ".head{font-size:20px;font-weight:700}"
    "path{fill:none;stroke-width:1.5}.identity,.projection{stroke-width:2.2}"
    ".projection{stroke-dasharray:6 4}"
    ".box{stroke-width:1.5}.trainable{stroke-width:2}"
    ".frame{fill-opacity:.03;stroke-width:1}"
)


def style_sheet() -> str:
    """The rules for every class that drawings use.

    Plain rules come first, so that programs that know no media queries show the light colours.
    """
    dark = _rules(_DARK, _DARK_BOXES)
    return f"{_ALWAYS}{_rules(_LIGHT, _LIGHT_BOXES)}@media(prefers-color-scheme:dark){{{dark}}}"


def _rules(colours: dict[str, str], boxes: dict[str, tuple[str, str]]) -> str:
    states = (f".{name}{{stroke:{line};fill:{fill}}}" for name, (line, fill) in boxes.items())
    return (
        f".page{{fill:{colours['page']}}}"
        f".head,.title,.small{{fill:{colours['ink']}}}.muted{{fill:{colours['muted']}}}"
        f"path{{stroke:{colours['line']}}}"
        f".arrow,.dot{{fill:{colours['line']}}}"
        f".frame{{fill:{colours['tint']};stroke:{colours['border']}}}"
        f".behind{{fill:{colours['page']};stroke:{colours['border']}}}"
        f"path.identity,path.projection{{stroke:{colours['shortcut']}}}"
        f".arrow.identity,.arrow.projection,.dot.identity,.dot.projection"
        f"{{fill:{colours['shortcut']}}}{''.join(states)}"
    )
