"""The main path of a block in rows and columns: where its parts are, and how lines get there.

Parts are placed by Sugiyama's method, with few crossings and straight lines; the work is done by
`fast-sugiyama`. Links over several rows get a place in each row that they pass.

Reference: Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System
Structures", IEEE Transactions on Systems, Man, and Cybernetics, 1981.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

from fast_sugiyama import from_edges

from budwood.drawing.blocks import ENTRY, EXIT, Link
from budwood.drawing.pieces import NOTHING, Element

_FIRST_BEND = 1_000_000
"""From here on numbers are places on links; no block has so many parts."""


@dataclass(frozen=True)
class Layers:
    """Nodes in rows, from top to bottom, and where in its row each of them is."""

    rows: tuple[tuple[int, ...], ...]
    """From left to right; with the places of links that pass a row, by numbers of their own."""
    x: dict[int, float]
    """Neighbours in a row are at least 1 apart."""
    ways: dict[Link, tuple[int, ...]]
    """For each link all that it passes, its ends included: one in each row."""


def layers_of(nodes: Sequence[int], links: Sequence[Link]) -> Layers:
    """Rows for the nodes of a graph that is connected and has no cycle."""
    if not links:
        return Layers((tuple(nodes),), {node: float(i) for i, node in enumerate(nodes)}, {})
    number = {node: i for i, node in enumerate(nodes)}
    ((places, _, _, edges),) = from_edges(
        [(number[a], number[b]) for a, b in links],
        minimum_length=1,
        vertex_spacing=1,
        dummy_vertices=True,
        ranking_type="up",
    )
    back = dict(enumerate(nodes))

    def node(number: int | str) -> int:
        return back.get(int(number), _FIRST_BEND + int(number))

    place = {node(n): (float(x), float(y)) for n, (x, y) in places}
    ways = _ways([(node(a), node(b)) for a, b in edges or ()])
    mirror = -1 if _is_mirrored(nodes, place) else 1
    rows = defaultdict(list)
    for n in sorted(place, key=lambda n: mirror * place[n][0]):
        rows[-place[n][1]].append(n)
    return Layers(
        tuple(tuple(rows[depth]) for depth in sorted(rows)),
        {n: mirror * x for n, (x, _) in place.items()},
        ways,
    )


def _ways(edges: Sequence[Link]) -> dict[Link, tuple[int, ...]]:
    """The links, put together from the pieces between rows."""
    after = {a: b for a, b in edges if a >= _FIRST_BEND}
    found: dict[Link, tuple[int, ...]] = {}
    for start, following in edges:
        if start < _FIRST_BEND:
            way = [start, following]
            while way[-1] in after:
                way.append(after[way[-1]])
            found[start, way[-1]] = tuple(way)
    return found


def _is_mirrored(nodes: Sequence[int], place: dict[int, tuple[float, float]]) -> bool:
    """True if more of what comes first is on the right than on the left."""
    leaning = 0
    for one, other in combinations(nodes, 2):
        if place[one][1] == place[other][1]:
            leaning += 1 if place[one][0] < place[other][0] else -1
    return leaning < 0


COLUMN_GAP = 18
_ROW_GAP = 24
_TRACK = 8
"""Between two level lines in the gap between two rows."""
_ARROW = 13
"""What a line needs to end in an arrow."""
_OUTER_GAP = 14
"""Between a frame and what is in it."""
_SAME = 0.5
"""Pixels within which two columns are one."""

Bend = Literal["none", "fork", "merge", "curve"]


class Grid:
    """Rows and columns, in pixels.

    In each gap between rows there is room for level lines, each at a height of its own: *forks*
    close to the row above, which they leave, and *merges* close to the row below.
    """

    def __init__(
        self, layers: Layers, pieces: Mapping[int, Element], spread: Callable[[int], bool]
    ) -> None:
        """`spread` tells which parts are to be as wide as the lines that come from above."""
        self.layers = layers
        self.rows = layers.rows
        self.pieces = dict(pieces)
        self.row = {node: i for i, row in enumerate(layers.rows) for node in row}
        self.x = self._columns()
        self.spans = self._spans(spread)
        self.steps = self._steps()
        self.bends = {step: bend for steps in self.steps for step, bend in _bends(steps, self)}
        self._forks: defaultdict[int, dict[tuple[int, bool], None]] = defaultdict(dict)
        self._merges: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for (a, b), bend in self.bends.items():
            if bend == "fork":
                self.fork(a)
            elif bend == "merge":
                self.merge(b)
        self._more: defaultdict[int, float] = defaultdict(float)

    def fork(self, node: int, *, to_lanes: bool = False) -> None:
        """Make room for a level line below a part, to the next row or to the lanes beside it."""
        self._forks[self.row[node]][node, to_lanes] = None

    def merge(self, node: int) -> None:
        """Make room for a level line above a part."""
        self._merges[self.row[node]][node] = None

    def stretch(self, node: int, more: float) -> None:
        """Add to the gap below a part."""
        self._more[self.row[node]] += more

    def piece(self, node: int) -> Element:
        """The part; nothing for places on links."""
        return self.pieces.get(node, NOTHING)

    def is_last_in_row(self, node: int) -> bool:
        return self.rows[self.row[node]][-1] == node

    def row_top(self, row: int) -> float:
        """Where a row begins; counted from the top of the first."""
        return sum(self._height(i) + self._gap(i) for i in range(row))

    def row_bottom(self, row: int) -> float:
        return self.row_top(row) + self._height(row)

    def top(self, node: int) -> float:
        """Where a part begins: it is half-way down its row."""
        row = self.row[node]
        return self.row_top(row) + (self._height(row) - self.piece(node).height) / 2

    def bottom(self, node: int) -> float:
        return self.top(node) + self.piece(node).height

    def fork_y(self, node: int, *, to_lanes: bool = False) -> float:
        """The height of the level line below a part."""
        # Those to the lanes come first: none of them then runs across another's end.
        order = sorted(self._forks[self.row[node]], key=lambda key: not key[1])
        number = order.index((node, to_lanes))
        return self.row_bottom(self.row[node]) + _TRACK * (number + 1)

    def merge_y(self, node: int) -> float:
        """The height of the level line above a part."""
        number = list(self._merges[self.row[node]]).index(node)
        return self.row_top(self.row[node]) - _ARROW - _TRACK * (number + 0.5)

    def _height(self, row: int) -> float:
        return max(self.piece(node).height for node in self.rows[row])

    def _gap(self, row: int) -> float:
        tracks = len(self._forks[row]) + len(self._merges[row + 1])
        is_outer = ENTRY in self.rows[row] or EXIT in self.rows[row + 1]
        least = _OUTER_GAP if is_outer else _ROW_GAP
        room = _TRACK * (tracks + 0.5) + _ARROW if tracks else 0
        return max(least, room) + self._more[row]

    def _columns(self) -> dict[int, float]:
        """The places of the layers, as far apart as the parts need it: what is straight or
        symmetrical stays so."""
        scale = 1.0
        for row in self.rows:
            for a, b in pairwise(row):
                needed = self.piece(a).right + COLUMN_GAP + self.piece(b).left
                scale = max(scale, needed / (self.layers.x[b] - self.layers.x[a]))
        return {node: scale * x for node, x in self.layers.x.items()}

    def _spans(self, spread: Callable[[int], bool]) -> dict[int, tuple[float, float]]:
        """How far to both sides parts reach that are as wide as the lines that come to them."""
        found = {}
        for node in self.pieces:
            if spread(node) and self.rows[self.row[node]] == (node,):
                ways = [way for link, way in self.layers.ways.items() if link[1] == node]
                from_x = [self.x[way[-2]] for way in ways]
                if from_x and max(from_x) - min(from_x) > _SAME:
                    found[node] = self.x[node] - min(from_x), max(from_x) - self.x[node]
        return found

    def _steps(self) -> list[list[Link]]:
        """From row to row, what leads from one to the next."""
        steps: list[list[Link]] = [[] for _ in self.rows]
        for way in self.layers.ways.values():
            for a, b in pairwise(way):
                if (a, b) not in steps[self.row[a]]:
                    steps[self.row[a]].append((a, b))
        return steps


def _bends(steps: Sequence[Link], grid: Grid) -> list[tuple[Link, Bend]]:
    """How the lines between two rows go: level lines if they all belong together, else curves."""
    askew = [(a, b) for a, b in steps if abs(grid.x[a] - grid.x[b]) > _SAME and b not in grid.spans]
    sources, targets = {a for a, _ in askew}, {b for _, b in askew}
    bend: Bend = "fork" if len(sources) == 1 else "merge" if len(targets) == 1 else "curve"
    return [(step, bend if step in askew else "none") for step in steps]
