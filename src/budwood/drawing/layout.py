"""Where everything goes: block by block, each in a frame, and the network from top to bottom."""

from dataclasses import replace

from budwood.drawing.blocks import ENTRY, EXIT, Block, Part
from budwood.drawing.boxes import Box
from budwood.drawing.lettering import shortened, width_of
from budwood.drawing.levels import level_of
from budwood.drawing.pieces import (
    NOTHING,
    SIZES,
    FrameAt,
    LineAt,
    Piece,
    Text,
    box_piece,
    box_width,
)
from budwood.drawing.shortcuts import Side, Style, paths_of

_HEADER = 22
"""Height of the line in which a frame's name is."""
_MARGIN = 12
_CLEAR = 6
_STACK = 8
"""How far the frames behind a folded block look out from behind it."""


def laid_out(network: Block) -> Piece:
    """The whole network, in place; the photo comes in at the top, at x = 0."""
    return _Layout(box_width(network)).level(network, "", 0, "plain")


class _Layout:
    def __init__(self, width: float) -> None:
        self._width = width

    def level(self, block: Block, within: str, header: float, style: Style) -> Piece:
        """What is in a block, without its frame."""
        paths = paths_of(block)
        aside = {number for side in paths.sides for number in side.parts}
        pieces = {
            number: self._piece(part, within)
            for number, part in enumerate(block.parts)
            if number not in aside
        }
        sides = [(side, self._beside(block, side, within)) for side in paths.sides]
        return level_of(block, pieces, paths.links, sides, header=header, style=style)

    def _piece(self, part: Part, within: str) -> Piece:
        if isinstance(part, Box):
            return box_piece(part, self._width, within)
        return self._framed(part, within)

    def _beside(self, block: Block, side: Side, within: str) -> Piece:
        """What a side of a block leads through."""
        if not side.parts:
            return NOTHING
        number = {part: i for i, part in enumerate(side.parts)}
        links = {
            (number.get(source, ENTRY), number.get(target, EXIT)): None
            for source, target in block.links
            if source in number or target in number
        }
        parts = tuple(block.parts[part] for part in side.parts)
        inner = replace(block, parts=parts, links=tuple(links))
        return self.level(inner, within, 0, side.style)

    def _framed(self, block: Block, within: str) -> Piece:
        inner = self.level(block, block.name or within, _HEADER, "plain")
        times = f"x {block.times}" if block.times > 1 else ""
        half, names = self._width / 2, _labels(block)
        # No letters may reach the line that enters at x = 0.
        needed = min(width_of(names[-1], SIZES["muted"]) + _CLEAR, 2 * half)
        left = max(inner.left, half, needed) + _MARGIN
        right = max(inner.right, half) + _MARGIN
        texts = [Text(_MARGIN - left, 15, _fitting(names, left - _MARGIN - _CLEAR), "muted")]
        if times:
            texts.append(Text(right - _MARGIN, 15, times, "title", "end"))
        end = right - _MARGIN - (texts[-1].width + _CLEAR if times else 0)
        if width_of(block.type, SIZES["muted"]) < end - _CLEAR and not block.is_list:
            texts.append(Text(end, 15, block.type, "muted", "end"))
        frame = FrameAt(block, -left, 0, left + right, inner.height, tuple(texts))
        items = (frame, *inner.items)
        if not times:
            return Piece(left, right, inner.height, items)
        height = inner.height + _STACK
        items += (LineAt(((0, inner.height), (0, height))),)
        return Piece(left, right + _STACK, height, items)


def _labels(block: Block) -> list[str]:
    """The block's path, and ever shorter ends of it, each from a name on."""
    parts = block.name.split(".")
    starts = [i for i, part in enumerate(parts) if i == 0 or not part.isdigit()]
    paths = [".".join(parts[i:]) for i in starts]
    return [_span(path, block.last) if block.last else path for path in paths]


def _fitting(names: list[str], room: float) -> str:
    fitting = next((name for name in names if width_of(name, SIZES["muted"]) <= room), names[-1])
    return shortened(fitting, room, SIZES["muted"])


def _span(first: str, last: str) -> str:
    """A run of paths, by the first of them and the number of the last.

    Example:
        >>> _span("layer3.1", "layer3.35"), _span("block_1", "stage.block_12")
        ('layer3.1 ... 35', 'block_1 ... 12')
    """
    if first == last:
        return first
    number = last[len(last.rstrip("0123456789")) :]
    return f"{first} ... {number or last.rpartition('.')[2]}"
