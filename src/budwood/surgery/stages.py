"""The stages of a network: the places where it may be cut, each as one short row a photo.

A classifier need not sit on a network's last layer: photos that are unlike those it was trained on
are often better told apart half-way. A stage ends where everything passes through one tensor and
the next layer with weights begins, one stage for each block; of its map the mean over all places is
taken. One trunk gives all stages, so one pass over the photos fills them all.
"""

from dataclasses import dataclass

import torch
from torch import fx, nn

from budwood.errors import CutError
from budwood.networks.prepared import Prepared
from budwood.surgery.cutting import Cut, FrontierTensor
from budwood.surgery.flow import Flow
from budwood.surgery.memory import follow_overwritten_values
from budwood.surgery.probing import Shapes, probe_shapes
from budwood.surgery.splitting import build_trunk
from budwood.surgery.tracing import UntraceableError, trace


@dataclass(frozen=True)
class Stage:
    """One place to cut a network."""

    name: str
    """The layer or block that ends here."""
    width: int
    """Features of a row."""
    macs: int
    """Multiply-adds up to here, of one photo."""


@dataclass(frozen=True)
class Stages:
    """A network as one trunk that gives all its stages."""

    cut: Cut
    """Its frontier has one tensor `n d` for each stage; nothing is grafted."""
    stages: tuple[Stage, ...]
    """From the photo on; the last is what the classifier is fed with."""


def stages_of(network: Prepared, photo: torch.Tensor) -> Stages:
    """The stages of a network, which is taken as frozen and in eval mode.

    Args:
        network: Takes pixels.
        photo: One input `1 h w c`, of which only shape and type matter.

    Raises:
        CutError: If its code cannot be traced, or nothing of it comes before its last layer.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    network.eval()
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        shapes = probe_shapes(trace(network), photo)
        follow_overwritten_values(shapes.record)
        flow = Flow(shapes)
        ends = _ends(shapes, flow.passages())
        trunk = build_trunk(shapes, flow, tuple(node for _, node in ends))
    except UntraceableError as problem:
        raise CutError(
            f"The stages of this network cannot be found: {problem}.",
            next="Leave it out of the comparison, or train with it as a whole.",
        ) from problem
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
    if not ends:
        raise CutError("Nothing of this network comes before its last layer.")
    rows = [shapes.rows[node][0] for _, node in ends]
    _pool(trunk, [_places(shape) for shape in rows])
    widths = [shape[-1] if 1 in _places(shape) else shape[0] for shape in rows]
    return Stages(
        Cut(
            trunk,
            nn.Identity(),
            tuple(
                FrontierTensor(name, (width,), torch.float32)
                for (name, _), width in zip(ends, widths, strict=True)
            ),
            flow.silenced,
            shapes.traced.opaque,
        ),
        tuple(
            Stage(name, width, _macs_up_to(shapes, node))
            for (name, node), width in zip(ends, widths, strict=True)
        ),
    )


def _ends(shapes: Shapes, passages: list[fx.Node]) -> list[tuple[str, fx.Node]]:
    """One passage for each block of weighted layers that is followed by more, with its name.

    The passages between two weighted layers belong to the block of the first. Of them that one
    stands for it which the block itself ends with; before the last layer, what that layer is fed
    with.
    """
    layers = [node for node in shapes.traced.graph.nodes if _has_weights(shapes, node)]
    order = {node: i for i, node in enumerate(shapes.traced.graph.nodes)}
    runs: dict[int, list[fx.Node]] = {}
    for node in passages:
        runs.setdefault(sum(order[layer] <= order[node] for layer in layers), []).append(node)
    found: dict[str, tuple[str, fx.Node]] = {}
    for before, run in sorted(runs.items()):
        if 0 < before < len(layers):
            block = _block(shapes, layers[before - 1])
            is_last = before == max(number for number in runs if number < len(layers))
            found.pop(block, None)  # the later one counts, in its place
            found[block] = _end(shapes, block, run, is_last)
    return list(found.values())


def _end(shapes: Shapes, block: str, run: list[fx.Node], is_last: bool) -> tuple[str, fx.Node]:
    """The passage that a block's stage is read from, with the stage's name."""
    path = block.partition(" ")[0]
    inside = [node for node in run if f"{_path(node)}.".startswith(f"{path}.")]
    is_layer = not list(shapes.traced.root.get_submodule(path).children())
    maps = [node for node in run if len(shapes.rows[node][0]) > 1]
    if is_last:
        node = run[-1]
    elif is_layer or not inside:  # its normalisation and activation are layers beside it
        node = (maps or run)[-1]
    else:
        node = inside[-1]
    targets = [n.target for n in shapes.traced.graph.nodes]  # shared layers name no place
    upto = run[: run.index(node) + 1]
    calls = [n for n in upto if n.op == "call_module" and targets.count(n.target) == 1]
    is_named_by_layer = " " in block or is_layer
    name = str(calls[-1].target) if is_named_by_layer and calls else path
    return name.removeprefix("network."), node


def _block(shapes: Shapes, node: fx.Node) -> str:
    """The block that a layer is in: a child of the network, or of a sequence of blocks in it.

    In a plain sequence of layers, as VGG's, all that give maps of one size are a block; its name
    then holds a space.
    """
    parts = _path(node).split(".")
    taken = parts[:2] if parts[0] == "network" else parts[:1]
    module = shapes.traced.root.get_submodule(".".join(taken))
    if isinstance(module, nn.Sequential | nn.ModuleList) and len(parts) > len(taken):
        children = list(module.children())
        if all(not list(child.children()) for child in children):
            return f"{'.'.join(taken)} {shapes.rows[node][0][1:]}"
        parent = shapes.traced.root.get_submodule(".".join(taken[:-1]))
        is_only_one = sum(map(_is_sequence_of_blocks, parent.children())) == 1
        if is_only_one or any(
            isinstance(child, nn.Sequential | nn.ModuleList) for child in children
        ):
            taken = parts[: len(taken) + 1]
    return ".".join(taken)


def _is_sequence_of_blocks(module: nn.Module) -> bool:
    is_sequence = isinstance(module, nn.Sequential | nn.ModuleList)
    return is_sequence and any(list(child.children()) for child in module.children())


def _path(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    stack = list((node.meta.get("nn_module_stack") or {"": ("", None)}).values())
    path: str = stack[-1][0]
    return path


def _has_weights(shapes: Shapes, node: fx.Node) -> bool:
    """True for a layer that has more than a scale and an offset for each channel."""
    if node.op == "call_module":
        return any(p.dim() > 1 for p in shapes.traced.module(node).parameters())
    return any(
        source.op == "get_attr"
        and isinstance(shapes.traced.attribute(source), nn.Parameter)
        and shapes.traced.attribute(source).dim() > 1
        for source in node.all_input_nodes
    )


def _places(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a batch of such rows that are places, and not features.

    Example:
        >>> _places((512, 7, 7)), _places((7, 7, 768)), _places((197, 768)), _places((512,))
        ((2, 3), (1, 2), (1,), ())
    """
    is_last = len(shape) == 2 or (len(shape) == 3 and shape[0] == shape[1] != shape[2])
    first = 1 if is_last else 2
    return tuple(range(first, first + len(shape) - 1))


def _pool(trunk: fx.GraphModule, places: list[tuple[int, ...]]) -> None:
    """Give back the mean over all places instead of maps."""
    graph = trunk.graph
    (output,) = graph.find_nodes(op="output")
    pooled = []
    with graph.inserting_before(output):
        for node, axes in zip(output.args[0], places, strict=True):
            pooled.append(graph.call_function(torch.mean, (node, axes)) if axes else node)
    output.args = (tuple(pooled),)
    graph.lint()
    trunk.recompile()


def _macs_up_to(shapes: Shapes, node: fx.Node) -> int:
    waiting, seen = [node], set[fx.Node]()
    while waiting:
        this = waiting.pop()
        if this not in seen:
            seen.add(this)
            waiting.extend(this.all_input_nodes)
    total = sum(shapes.record.macs.get(n, 0) for n in seen)
    return int(total) // shapes.batches[0]
