"""The drawing of a network, made part of a page."""

import re

from torch import nn

from budwood.drawing.drawing import draw
from budwood.errors import BudwoodError


def drawn(network: nn.Module) -> str | None:
    """The network as an SVG element without a style sheet of its own; None if it cannot be drawn.

    The page has its rules: see `styling.py`.
    """
    try:
        svg = draw(network).svg
    except BudwoodError:  # the page says that its code cannot be followed
        return None
    svg = re.sub(r"<style>.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<rect class="page"[^>]*/>', "", svg, count=1)
    return svg.replace("<svg ", '<svg class="drawing" ', 1).replace(' role="img"', "", 1)
