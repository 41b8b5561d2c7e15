"""The placement of a graph in rows, by Sugiyama's method, with few crossings and straight lines.

The work is done by `fast-sugiyama`: rows by network simplex, order in a row by barycentres, places
by Brandes and Köpf. Links over several rows get a place in each row that they pass.

Reference: Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System
Structures", IEEE Transactions on Systems, Man, and Cybernetics, 1981.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fast_sugiyama import from_edges

Link = tuple[int, int]

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
    """Rows for the nodes of a graph that is connected and has no cycle.

    Example:
        >>> layers_of([0, 1, 2, 3], [(0, 1), (0, 2), (1, 3), (2, 3)]).rows
        ((0,), (1, 2), (3,))
    """
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
    for i, one in enumerate(nodes):
        for other in nodes[i + 1 :]:
            if place[one][1] == place[other][1]:
                leaning += 1 if place[one][0] < place[other][0] else -1
    return leaning < 0
