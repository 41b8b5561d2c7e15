"""What running a network up to some place costs: multiply-adds and memory."""

from collections.abc import Iterator

from torch import Tensor, fx

from budwood.surgery.probing import Shapes
from budwood.surgery.tracing import ancestors


def before(end: fx.Node) -> list[fx.Node]:
    """All that a node is computed from, and the node itself, in the order of the graph."""
    seen = ancestors(end)
    return [node for node in end.graph.nodes if node in seen]


def macs_up_to(shapes: Shapes, end: fx.Node) -> int:
    """Multiply-adds of one photo."""
    return sum(shapes.record.macs.get(n, 0) for n in before(end)) // shapes.batches[0]


def memory_up_to(shapes: Shapes, end: fx.Node) -> int:
    """Bytes of the weights, and of all values of one photo that are needed at the same time, at
    most.

    Values are counted in the type that the network has them in: float32, but for a photo.
    """
    steps = before(end)
    last_use = {source: i for i, node in enumerate(steps) for source in node.all_input_nodes}
    alive: dict[fx.Node, int] = {}
    most = 0
    for i, node in enumerate(steps):
        if node in shapes.rows:
            alive[node] = shapes.bytes(node)
        most = max(most, sum(alive.values()))
        alive = {n: size for n, size in alive.items() if n is end or last_use.get(n, i) > i}
    weights = {id(w): w.numel() * w.element_size() for w in _weights(shapes, steps)}
    return most + sum(weights.values())


def _weights(shapes: Shapes, steps: list[fx.Node]) -> Iterator[Tensor]:
    for node in steps:
        if node.op == "call_module":
            module = shapes.traced.module(node)
            yield from module.parameters()
            yield from module.buffers()
        elif node.op == "get_attr" and isinstance(w := shapes.traced.attribute(node), Tensor):
            yield w
