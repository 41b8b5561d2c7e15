"""How wide a text is, without a font at hand: never less than in the fonts that drawings ask for.

The numbers are those of DejaVu Sans, rounded up: it is wider than Helvetica, Arial and Noto Sans,
and stands in for them on many machines.
"""

_NARROW = frozenset("iIjl.,:;'|! ")
_SLIM = frozenset('frtJ()[]/-"')
_WIDE = frozenset("mwMW@%+<>=~#")
_BOLD = 1.14
"""How much wider bold letters are."""


def width_of(text: str, size: float, bold: bool = False) -> float:
    """An upper bound of a text's width, in the unit of `size`.

    Example:
        >>> round(width_of("conv", 10), 1) > 20
        True
    """
    return sum(map(_em, text)) * size * (_BOLD if bold else 1)


def shortened(text: str, room: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning as there is room for, with an ellipsis.

    Example:
        >>> shortened("a name that is far too long", 60, 10)
        'a name t…'
    """
    if width_of(text, size, bold) <= room:
        return text
    while text and width_of(f"{text}…", size, bold) > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.40
    if letter in _SLIM:
        return 0.46
    if letter in _WIDE:
        return 1.02
    if letter.isupper():
        return 0.80
    return 0.66 if letter.isascii() else 1.02
