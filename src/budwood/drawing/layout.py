"""Where everything goes: block by block, each in a frame, and the network from top to bottom.

The main path is a grid. Beside it, to the right, run lanes: shortcuts, short ones inside long
ones, and whatever branches off and ends there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from budwood.drawing.blocks import ENTRY, EXIT, BlockFrame, Link, Part, links_between
from budwood.drawing.boxes import Box
from budwood.drawing.grid import Grid, layers_of
from budwood.drawing.pieces import (
    NOTHING,
    SIZES,
    Element,
    FrameAt,
    Item,
    LineAt,
    Point,
    Text,
    bar,
    box_piece,
    box_width,
    is_bar,
    shortened,
    width_of,
)
from budwood.drawing.shortcuts import SideBranch, Style, paths_of

_LANE_GAP = 9
_WIDE_GAP = 18
_TURN = 10
"""What a line needs to turn."""
_REACH = 24
"""How far a bar reaches beyond the lines that come to it."""


@dataclass(frozen=True)
class _Area:
    """What is taken, from one height to another: up to here on the right, and the space after."""

    top: float
    bottom: float
    right: float
    gap: float


class _Level:
    """The parts of one block in their places, and the lines between them."""

    def __init__(
        self,
        parts: Sequence[Part],
        pieces: Mapping[int, Element],
        links: Sequence[Link],
        sides: Sequence[tuple[SideBranch, Element]],
        header: float,
        style: Style,
    ) -> None:
        self._parts = parts
        self._style = style
        ends = {number for link in links for number in link}
        first = {ENTRY: Element(0, 0, header)} if ENTRY in ends else {}
        last = {EXIT: NOTHING} if EXIT in ends else {}
        every = {**first, **pieces, **last}
        self._grid = Grid(layers_of(list(every), links), every, self._is_bar)
        self._spread_bars()
        self._make_room(sides)
        self._sides = sorted(sides, key=lambda pair: self._order(*pair))
        self._areas = list(self._main_areas())

    def piece(self) -> Element:
        """All of it as one piece; lines enter and leave it where its first part is."""
        grid = self._grid
        items: list[Item] = list(self._main_lines())
        for side, inner in self._sides:
            items += self._lane(side, inner)
        for node in grid.pieces:
            items += grid.piece(node).moved(grid.x[node], grid.top(node))
        anchor = grid.x[grid.rows[0][0]]
        height = max(area.bottom for area in self._areas)
        left = min(grid.x[node] - grid.piece(node).left for node in grid.x)
        right = max(area.right for area in self._areas)
        if EXIT in grid.x and (grid.x[EXIT] != anchor or height > grid.bottom(EXIT)):
            ends = (grid.x[EXIT], grid.bottom(EXIT)), (anchor, height + _WIDE_GAP)
            items.append(LineAt(ends, self._style, is_curved=True))
            height += _WIDE_GAP
        whole = Element(0, 0, 0, tuple(items))
        return Element(anchor - left, right - anchor, height, whole.moved(-anchor, 0))

    def _box(self, node: int) -> Box | None:
        """What a number stands for, if that is one box."""
        part = self._parts[node] if 0 <= node < len(self._parts) else None
        return part if isinstance(part, Box) else None

    def _is_bar(self, node: int) -> bool:
        box = self._box(node)
        return box is not None and is_bar(box)

    def _spread_bars(self) -> None:
        grid = self._grid
        for node, (left, right) in grid.spans.items():
            box, half = self._box(node), grid.piece(node).right
            if box is not None:
                reach = max(half, left + _REACH), max(half, right + _REACH)
                grid.pieces[node] = bar(box, *reach)

    def _make_room(self, sides: Sequence[tuple[SideBranch, Element]]) -> None:
        """Room for the lanes' level lines, and for what they lead through."""
        grid = self._grid
        for side, _ in sides:
            grid.fork(side.source, to_lanes=True)
            for target in side.targets:
                if not self._enters_beside(target):
                    grid.merge(target)
        for side, inner in sides:
            if side.parts and side.targets:
                free = self._end(side, inner) - self._start(side) - 2 * _TURN
                grid.stretch(side.source, max(0, inner.height - free))

    def _enters_beside(self, target: int) -> bool:
        """True where a lane comes to a join from the right, with nothing in its way."""
        box = self._box(target)
        return box is not None and box.kind == "join" and self._grid.is_last_in_row(target)

    def _enters_at(self, target: int) -> float:
        """The height at which a lane comes to a part."""
        grid = self._grid
        if self._enters_beside(target):
            return (grid.top(target) + grid.bottom(target)) / 2
        return grid.merge_y(target)

    def _start(self, side: SideBranch) -> float:
        return self._grid.fork_y(side.source, to_lanes=True)

    def _end(self, side: SideBranch, inner: Element) -> float:
        if side.targets:
            return max(map(self._enters_at, side.targets))
        return self._start(side) + 2 * _TURN + inner.height

    def _order(self, side: SideBranch, inner: Element) -> tuple[bool, float]:
        """Short lanes are inside long ones. What does not come back is outside: what leaves last
        first, so that the lines to the others pass above it."""
        start = self._start(side)
        return not side.targets, self._end(side, inner) - start if side.targets else -start

    def _main_areas(self) -> Iterator[_Area]:
        grid = self._grid
        for node in grid.x:
            right = grid.x[node] + grid.piece(node).right
            yield _Area(grid.top(node), grid.bottom(node), right, _WIDE_GAP)
        for row, steps in enumerate(grid.steps):
            for a, b in steps:
                right = max(grid.x[a], grid.x[b])
                yield _Area(grid.row_bottom(row), grid.row_top(row + 1), right, _WIDE_GAP)

    def _main_lines(self) -> Iterator[LineAt]:
        grid = self._grid
        for (source, target), way in grid.layers.ways.items():
            start = grid.top(source) if source == ENTRY else grid.bottom(source)
            points: list[Point] = [(grid.x[source], start)]
            for a, b in pairwise(way):
                bend = grid.bends[a, b]
                if bend == "fork":
                    points += [(grid.x[end], grid.fork_y(a)) for end in (a, b)]
                elif bend == "merge":
                    points += [(grid.x[end], grid.merge_y(b)) for end in (a, b)]
                elif bend == "curve":
                    above = grid.x[a], grid.row_bottom(grid.row[a])
                    below = grid.x[b], grid.row_top(grid.row[b])
                    yield LineAt((*points, above), self._style)
                    yield LineAt((above, below), self._style, is_curved=True)
                    points = [below]
            x = grid.x[way[-2] if target in grid.spans else target]
            has_arrow = self._box(target) is not None
            yield LineAt((*points, (x, grid.top(target))), self._style, has_arrow)

    def _lane(self, side: SideBranch, inner: Element) -> Iterator[Item]:
        """A lane, to the right of all that is beside it."""
        start, end = self._start(side), self._end(side, inner)
        gap = _WIDE_GAP if side.parts else _LANE_GAP
        x = inner.left + max(
            area.right + max(area.gap, gap)
            for area in self._areas
            if area.top < end + 1 and area.bottom > start - 1
        )
        self._areas.append(_Area(start, end, x + inner.right, gap))
        way: list[Point] = [(self._grid.x[side.source], start), (x, start)]
        if side.parts:
            y = (start + end - inner.height) / 2
            yield LineAt((*way, (x, y)), side.style, has_dot=True)
            yield from inner.moved(x, y)
            way = [(x, y + inner.height)]
        last = max(side.targets, key=self._enters_at, default=None)
        for target in side.targets:
            before = way if target == last else []
            is_branch = bool(before and side.parts)
            points = (*before, *self._into(target, x))
            yield LineAt(points, side.style, has_arrow=True, has_dot=not is_branch)

    def _into(self, target: int, x: float) -> tuple[Point, ...]:
        """The way from a lane into a part."""
        grid, y = self._grid, self._enters_at(target)
        if self._enters_beside(target):
            return (x, y), (grid.x[target] + grid.piece(target).right, y)
        return (x, y), (grid.x[target], y), (grid.x[target], grid.top(target))


_HEADER = 22
"""Height of the line in which a frame's name is."""
_MARGIN = 12
_CLEAR = 6
_STACK = 8
"""How far the frames behind a folded block look out from behind it."""


def laid_out(network: BlockFrame) -> Element:
    """The whole network, in place; the photo comes in at the top, at x = 0."""
    return _Arranger(box_width(network)).level(network, "", 0, "plain")


class _Arranger:
    def __init__(self, width: float) -> None:
        self._width = width

    def level(self, block: BlockFrame, within: str, header: float, style: Style) -> Element:
        """What is in a block, without its frame."""
        paths = paths_of(block)
        aside = {number for side in paths.sides for number in side.parts}
        pieces = {
            number: box_piece(part, self._width, within)
            if isinstance(part, Box)
            else self._framed(part, within)
            for number, part in enumerate(block.parts)
            if number not in aside
        }
        sides = [(side, self._beside(block, side, within)) for side in paths.sides]
        return _Level(block.parts, pieces, paths.links, sides, header, style).piece()

    def _beside(self, block: BlockFrame, side: SideBranch, within: str) -> Element:
        """What a side of a block leads through."""
        if not side.parts:
            return NOTHING
        number = {part: i for i, part in enumerate(side.parts)}
        parts = tuple(block.parts[part] for part in side.parts)
        inner = replace(block, parts=parts, links=links_between(block.links, number))
        return self.level(inner, within, 0, side.style)

    def _framed(self, block: BlockFrame, within: str) -> Element:
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
        frame = FrameAt(-left, 0, left + right, inner.height, tuple(texts), block)
        items = (frame, *inner.items)
        if not times:
            return Element(left, right, inner.height, items)
        height = inner.height + _STACK
        items += (LineAt(((0, inner.height), (0, height))),)
        return Element(left, right + _STACK, height, items)


def _labels(block: BlockFrame) -> list[str]:
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
