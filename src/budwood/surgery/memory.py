"""In-place operations: what they overwrite, and who must not notice."""

from torch import fx

from budwood.surgery.recording import Place, Record
from budwood.surgery.tracing import UntraceableError


def follow_overwritten_values(graph: fx.Graph, record: Record) -> None:
    """Let all that reads an overwritten value later read the result of the overwriting.

    The order of nodes alone then decides what each of them sees.

    Raises:
        UntraceableError: If a part of an overwritten value is read later, which no graph can say.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    for node, sources in list(record.overwrites.items()):
        for source in sources:
            for seen in _sharing(record, {place[0] for place in record.places[source]}):
                if order[seen] >= order[node]:
                    continue
                for user in list(seen.users):
                    if order[user] <= order[node]:
                        continue
                    if _place(record, seen) != _place(record, node):
                        raise UntraceableError(
                            f"{node.name} overwrites a part of {seen.name}, which is read later"
                        )
                    user.replace_input_with(seen, node)


class Memory:
    """Which values of a graph share memory, once random operations of the trunk are left out."""

    def __init__(self, record: Record, passed_through: set[fx.Node]) -> None:
        """`passed_through` are nodes that hand on their input, or may do so in eval mode."""
        self._record = record
        self._passed_through = passed_through

    def to_clone(self, node: fx.Node, frontier: tuple[fx.Node, ...]) -> list[fx.Node]:
        """The inputs that a node may only overwrite in a copy.

        What comes from outside the graph, leaves it, or is read twice is never written to.
        """
        order = {n: i for i, n in enumerate(node.graph.nodes)}
        return [
            source
            for source in self._record.overwrites.get(node, ())
            if any(
                seen.op in ("placeholder", "get_attr") or seen in frontier or len(seen.users) > 1
                for seen in self._sharing_with(source)
                if order[seen] < order[node]
            )
        ]

    def _sharing_with(self, node: fx.Node) -> set[fx.Node]:
        found, waiting = set[fx.Node](), [node]
        while waiting:
            this = waiting.pop()
            if this in found:
                continue
            found.add(this)
            waiting += _sharing(self._record, {p[0] for p in self._record.places[this]})
            if this in self._passed_through:
                waiting += this.all_input_nodes
            waiting += [user for user in this.users if user in self._passed_through]
        return found


def _sharing(record: Record, storages: set[int]) -> list[fx.Node]:
    """The nodes with a tensor in any of these storages."""
    return [n for n, places in record.places.items() if storages & {p[0] for p in places}]


def _place(record: Record, node: fx.Node) -> Place | None:
    """Where a node's one tensor lies; None for tuples and the like."""
    places = record.places[node]
    return places[0] if len(places) == 1 else None
