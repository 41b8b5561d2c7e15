"""The stages of a network: the places where it may be cut, each as one short row a photo.

A classifier need not sit on a network's last layer: photos that are unlike those it was trained on
are often better told apart half-way. A stage ends where everything passes through one tensor and
the next layer with weights begins, one stage for each block; of its map the mean over all places is
taken. One trunk gives all stages, so one pass over the photos fills them all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from budwood.errors import CutError
from budwood.models.prepared import Prepared
from budwood.surgery.axes import place_axes
from budwood.surgery.cutting import Cut, FrontierTensor, build_trunk
from budwood.surgery.flow import Flow, owner_of
from budwood.surgery.recording import Shapes, probe_shapes
from budwood.surgery.tracing import UntraceableError, ancestors, trace

NOTHING = nn.Identity, _DropoutNd
"""Layers that, at rest, give what they are fed with."""
WRAPS = 0.9
"""Share of a network's weights from which on a module is the network itself, wrapped."""


@dataclass(frozen=True)
class Stage:
    """One place to cut a network."""

    name: str
    """The layer or block that ends here."""
    width: int
    """Features of a row."""
    macs: int
    """Multiply-adds up to here, of one photo."""
    memory: int
    """Bytes of the weights up to here, and at most of the values of one photo, in float32."""


@dataclass(frozen=True)
class Stages:
    """A network as one trunk that gives all its stages."""

    cut: Cut
    """Its frontier has one tensor `n d` for each stage; nothing is grafted."""
    stages: tuple[Stage, ...]
    """From the photo on; the last is what the classifier is fed with."""


def stages_of(network: Prepared, image: torch.Tensor) -> Stages:
    """The stages of a network, which is taken as frozen and in eval mode.

    Args:
        network: Takes pixels.
        image: One input `1 h w c`, of which only shape and type matter.
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    network.eval()
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        shapes = probe_shapes(trace(network), image)
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
    nodes = [node for _, node in ends]
    places = [place_axes(1 + len(shapes.rows[n][0]), shapes.record.axes.get(n)) for n in nodes]
    _pool(trunk, places)
    stages = []
    for (name, node), averaged in zip(ends, places, strict=True):
        sizes = enumerate(shapes.rows[node][0], 1)
        width = next(size for axis, size in sizes if axis not in averaged)
        steps = before(node)
        macs = sum(shapes.record.macs.get(n, 0) for n in steps) // shapes.batches[0]
        stages.append(Stage(name, width, macs, _memory(shapes, steps)))
    rows = tuple(FrontierTensor(stage.name, (stage.width,), torch.float32) for stage in stages)
    whole = Cut(trunk, nn.Identity(), rows, flow.silenced, shapes.traced.opaque)
    return Stages(whole, tuple(stages))


def before(end: fx.Node) -> list[fx.Node]:
    """All that a node is computed from, and the node itself, in the order of the graph."""
    seen = ancestors(end)
    return [node for node in end.graph.nodes if node in seen]


def _memory(shapes: Shapes, steps: list[fx.Node]) -> int:
    """Bytes of the weights, and of all values of one photo that are needed at the same time, at
    most, on the way to the last of these steps.

    Values are counted in the type that the network has them in: float32, but for a photo.
    """
    last_use = {source: i for i, node in enumerate(steps) for source in node.all_input_nodes}
    alive: dict[fx.Node, int] = {}
    most = 0
    for i, node in enumerate(steps):
        if node in shapes.rows:
            alive[node] = shapes.bytes(node)
        most = max(most, sum(alive.values()))
        alive = {n: size for n, size in alive.items() if n is steps[-1] or last_use.get(n, i) > i}
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


def _ends(shapes: Shapes, passages: list[fx.Node]) -> list[tuple[str, fx.Node]]:
    """One passage for each block of weighted layers that is followed by more, with its name.

    The passages between two weighted layers belong to the block of the first. Of them that one
    stands for it which the block itself ends with; before the last layer, what that layer is fed
    with.
    """
    order = {node: i for i, node in enumerate(shapes.traced.graph.nodes)}
    blocks = {node: _block(shapes, node) for node in order if _has_weights(shapes, node)}
    layers = [node for node, block in blocks.items() if block]
    runs: dict[int, list[fx.Node]] = {}
    for node in passages:
        runs.setdefault(sum(order[layer] <= order[node] for layer in layers), []).append(node)
    last = max((number for number in runs if number < len(layers)), default=0)
    found: dict[str, tuple[str, fx.Node]] = {}
    for before, run in sorted(runs.items()):
        if 0 < before < len(layers):
            block, following = blocks[layers[before - 1]], blocks[layers[before]]
            found.pop(block, None)  # the later one counts, in its place
            own = [node for node in run if not _is_inside(node, following)] or run
            is_last = before == last
            found[block] = _end(shapes, block, run if is_last else own, is_last)
    return list(found.values())


def _end(shapes: Shapes, block: str, run: list[fx.Node], is_last: bool) -> tuple[str, fx.Node]:
    """The passage that a block's stage is read from, with the stage's name."""
    path = block.partition(" ")[0]
    inside = [node for node in run if _is_inside(node, path)]
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
    calls = [
        n
        for n in upto
        if n.op == "call_module"
        and targets.count(n.target) == 1
        and not isinstance(shapes.traced.module(n), NOTHING)
    ]
    is_named_by_layer = " " in block or (is_layer and not is_last)
    name = str(calls[-1].target) if is_named_by_layer and calls else path
    return name.removeprefix("network."), node


def _block(shapes: Shapes, node: fx.Node) -> str:
    """The block that a layer is in: a child of the network, or of a sequence of blocks in it; empty
    for what lies between blocks, such as a token that is put before the others.

    In a plain sequence of layers, as VGG's, all that give maps of one size are a block, and each
    that gives no map; its name then holds a space.
    """
    parts = _path(node).split(".")
    outer = _wrapping(shapes.traced.root, parts)
    taken = parts[: outer + 1]
    if len(taken) <= outer:
        return ""
    module = shapes.traced.root.get_submodule(".".join(taken))
    if isinstance(module, nn.Sequential | nn.ModuleList) and len(parts) > len(taken):
        children = list(module.children())
        if all(not list(child.children()) for child in children):
            size = shapes.rows[node][0][1:] if node in shapes.rows else ()
            return f"{'.'.join(taken)} {size or parts[-1]}"
        parent = shapes.traced.root.get_submodule(".".join(taken[:-1]))
        is_only_one = sum(map(_is_sequence_of_blocks, parent.children())) == 1
        holds_sequences = any(isinstance(c, nn.Sequential | nn.ModuleList) for c in children)
        if is_only_one or holds_sequences or _wraps(module, shapes.traced.root):
            taken = parts[: len(taken) + 1]
    return ".".join(taken)


def _wrapping(root: nn.Module, parts: list[str]) -> int:
    """How many of the modules on the way to a layer only wrap nearly the whole network."""
    module, number = root, 0
    for part in parts:
        module = module.get_submodule(part)
        is_sequence = isinstance(module, nn.Sequential | nn.ModuleList)
        if is_sequence or not list(module.children()) or not _wraps(module, root):
            break
        number += 1
    return number


def _wraps(module: nn.Module, root: nn.Module) -> bool:
    own, whole = (sum(p.numel() for p in part.parameters()) for part in (module, root))
    return own >= WRAPS * whole


def _is_inside(node: fx.Node, path: str) -> bool:
    return f"{_path(node)}.".startswith(f"{path}.")


def _is_sequence_of_blocks(module: nn.Module) -> bool:
    is_sequence = isinstance(module, nn.Sequential | nn.ModuleList)
    return is_sequence and any(list(child.children()) for child in module.children())


def _path(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    return owner_of(node)


def _has_weights(shapes: Shapes, node: fx.Node) -> bool:
    """True for a layer that has more than a scale and an offset for each channel."""
    return any(p.dim() > 1 for p in shapes.traced.parameters(node))


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


OWN = "network."
"""What names in a prepared network begin with."""


def last_stage(stages: Stages) -> tuple[str, ...]:
    """What `--unfreeze` takes to train the last stage besides the classifier.

    Of each layer the shortest beginning of its name that no earlier layer has: `layer4`,
    `blocks.6`. Of a network of one stage these are all layers.
    """
    trunk = stages.cut.trunk
    assert isinstance(trunk, fx.GraphModule)
    (output,) = trunk.graph.find_nodes(op="output")
    *earlier, last = output.args[0]
    known = set(before(earlier[-1])) if earlier else set()
    taken = [_parts(node) for node in known]
    globs = [_shortest(_parts(n), taken) for n in before(last) if n not in known and _trains(n)]
    return tuple(dict.fromkeys(globs))


def _parts(node: fx.Node) -> list[str]:
    return str(node.target).removeprefix(OWN).split(".")


def _trains(node: fx.Node) -> bool:
    """True for a layer of the network with parameters, and for a parameter used directly."""
    if node.op not in ("call_module", "get_attr") or not str(node.target).startswith(OWN):
        return False
    if node.op == "get_attr":
        return True
    module = node.graph.owning_module
    assert module is not None
    return any(True for _ in module.get_submodule(str(node.target)).parameters())


def _shortest(parts: list[str], taken: list[list[str]]) -> str:
    for end in range(1, len(parts)):
        if all(other[:end] != parts[:end] for other in taken):
            return ".".join(parts[:end])
    return ".".join(parts)
