"""In-place operations: what they overwrite, and who must not notice."""

from collections import defaultdict

from torch import fx

from budwood.surgery.recording import Place, Record
from budwood.surgery.tracing import UntraceableError


def follow_overwritten_values(record: Record) -> None:
    """Let all that reads an overwritten value later read the result of the overwriting.

    The order of nodes alone then decides what each of them sees.

    Raises:
        UntraceableError: If a part of an overwritten value is read later, which no graph can say.
    """
    sharing = Sharing(record)
    for node, sources in record.overwrites.items():
        for seen in {other for source in sources for other in sharing.before(node, source)}:
            for user in list(seen.users):
                if not sharing.is_before(node, user):
                    continue
                if _place(record, seen) != _place(record, node):
                    raise UntraceableError(
                        f"{node.name} overwrites a part of {seen.name}, which is read later"
                    )
                user.replace_input_with(seen, node)


class Sharing:
    """Which nodes of a graph have values in the same memory."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._order = {node: i for i, node in enumerate(record.places)}
        self._in_storage: dict[int, list[fx.Node]] = defaultdict(list)
        for node, places in record.places.items():
            for storage in {place[0] for place in places}:
                self._in_storage[storage].append(node)

    def is_before(self, node: fx.Node, other: fx.Node) -> bool:
        """True if `node` runs before `other`."""
        return self._order[node] < self._order[other]

    def nodes_with(self, node: fx.Node) -> set[fx.Node]:
        """All nodes that share memory with a node, itself included."""
        storages = {place[0] for place in self._record.places[node]}
        return {node, *(other for s in storages for other in self._in_storage[s])}

    def before(self, node: fx.Node, source: fx.Node) -> set[fx.Node]:
        """The nodes before `node` that share memory with its input `source`."""
        return {other for other in self.nodes_with(source) if self.is_before(other, node)}


class Protection:
    """Which inputs a step must copy before it overwrites them.

    What comes from outside a graph, leaves it, or is read twice is never written to.
    """

    def __init__(
        self, record: Record, frontier: tuple[fx.Node, ...], passed_through: set[fx.Node]
    ) -> None:
        """`passed_through` are steps that hand on their input where they are switched off."""
        self._record = record
        self._frontier = frontier
        self._passed_through = passed_through
        self._sharing = Sharing(record)

    def to_clone(self, node: fx.Node) -> list[fx.Node]:
        """The inputs of a node that it may only overwrite in a copy."""
        return [
            source
            for source in self._record.overwrites.get(node, ())
            if any(
                self._is_seen_elsewhere(other)
                for other in self._possibly_sharing(source)
                if self._sharing.is_before(other, node)
            )
        ]

    def _is_seen_elsewhere(self, node: fx.Node) -> bool:
        comes_from_outside = node.op in ("placeholder", "get_attr") or node in self._frontier
        return comes_from_outside or len(node.users) > 1

    def _possibly_sharing(self, node: fx.Node) -> set[fx.Node]:
        """What shares memory with a node once the steps that are switched off hand on theirs."""
        found, waiting = set[fx.Node](), [node]
        while waiting:
            this = waiting.pop()
            if this in found:
                continue
            found.add(this)
            waiting += self._sharing.nodes_with(this)
            waiting += [user for user in this.users if user in self._passed_through]
            if this in self._passed_through:
                waiting += this.all_input_nodes
        return found


def _place(record: Record, node: fx.Node) -> Place | None:
    """Where a node's one tensor lies; None for tuples and the like."""
    places = record.places[node]
    return places[0] if len(places) == 1 else None
