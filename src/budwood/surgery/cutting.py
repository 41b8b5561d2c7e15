"""The cut: a network splits into what is frozen and runs once, and what trains.

    trunk      everything that is frozen, deterministic, and fed only by such
    graft      the rest
    frontier   the tensors that cross from one to the other, one row a photo

The law: `graft(trunk(x)) == network(x)`, bit for bit in fp32 on one device, forward and
gradients, for every choice of frozen layers. In train mode `network` is then the network whose
`silenced` layers are in eval mode: dropout inside the trunk is off, dropout after the last frozen
layer belongs to the graft and stays on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from budwood.display import displayed
from budwood.errors import CutError
from budwood.networks.prepared import Prepared
from budwood.surgery.flow import Flow
from budwood.surgery.memory import follow_overwritten_values
from budwood.surgery.probing import probe_shapes
from budwood.surgery.splitting import build_graft, build_trunk
from budwood.surgery.tracing import UntraceableError, trace, usual_input
from budwood.surgery.whole import split_at_last_module


@displayed
@dataclass(frozen=True)
class FrontierTensor:
    """One tensor that crosses from trunk to graft."""

    name: str
    """The layer or operation that makes it."""
    shape: tuple[int, ...]
    """Its shape for one photo."""
    dtype: torch.dtype
    feature_axis: int | None = None
    """The axis of a batch that holds features; None where that is not known."""

    @property
    def bytes(self) -> int:
        """Bytes of one photo's row."""
        return int(torch.Size(self.shape).numel()) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.shape))}"


@displayed
@dataclass(frozen=True)
class Cut:
    """A network in two parts that share its weights: `graft(trunk(x)) == network(x)`."""

    trunk: nn.Module
    """`n ...` input to a tuple of frontier tensors, each `n ...`. Its layers are in eval mode and
    stay so whatever the network's mode is; their tensors are the network's own."""
    graft: nn.Module
    """That tuple to the network's output. Its layers are the network's own. It never writes to
    the tensors it is given."""
    frontier: tuple[FrontierTensor, ...]
    silenced: tuple[str, ...]
    """Modules that the trunk runs in eval mode though the network trains: random layers, and code
    that could not be traced."""
    opaque: dict[str, str]
    """Modules that could not be traced, each with the reason; they are on one side as a whole."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one photo's frontier, all tensors together."""
        return sum(tensor.bytes for tensor in self.frontier)

    def __str__(self) -> str:
        return f"frontier: {', '.join(map(str, self.frontier))} ({self.row_bytes:,} bytes a photo)"


def cut(network: nn.Module, example: Tensor | None = None) -> Cut:
    """The network as trunk and graft, in the mode (train or eval) that it is in.

    Which side a layer falls on follows from `requires_grad`, from `freeze` for normalisation, and
    from the graph. GoogLeNet gives its auxiliary outputs in train mode only, so each mode has a
    cut of its own.

    Args:
        network: Any module; it is not changed.
        example: One input `1 ...`, of which only shape and type matter. Default: what
            `network.preprocessing` says, else `1 3 224 224` floats.

    Raises:
        CutError: If nothing trains, or the network can neither be traced nor split in front of
            the one module that trains.

    Example:
        >>> from budwood.surgery.freezing import freeze, unfreeze
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
        >>> print(cut(unfreeze(freeze(net, "*"), "3"), torch.zeros(1, 3, 8, 8)))
        frontier: 2 288 (1,152 bytes a photo)
    """
    if not any(p.requires_grad for p in network.parameters()):
        raise CutError(
            "Everything is frozen: there is nothing to train.",
            next="Unfreeze at least the head, for example --unfreeze with its name.",
        )
    example = _example_for(network) if example is None else example
    try:
        return _cut_graph(network, example)
    except UntraceableError as failure:
        reason = str(failure)
        halves = split_at_last_module(network, example, reason)
    return Cut(
        halves.trunk,
        halves.graft,
        (FrontierTensor(halves.name, *halves.rows),),
        halves.silenced,
        {"": reason},
    )


def _cut_graph(network: nn.Module, example: Tensor) -> Cut:
    traced = trace(network)
    shapes = probe_shapes(traced, example)
    follow_overwritten_values(shapes.record)
    flow = Flow(shapes)
    frontier = flow.frontier()
    return Cut(
        build_trunk(shapes, flow, frontier),
        build_graft(shapes, flow, frontier),
        tuple(
            FrontierTensor(_layer_of(node), *shapes.rows[node], shapes.record.axes.get(node))
            for node in frontier
        ),
        flow.silenced,
        traced.opaque,
    )


def _layer_of(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _example_for(network: nn.Module) -> Tensor:
    """A batch of one in the shape that the network's preprocessing makes."""
    channels, height, width = usual_input(network)
    device = next(network.parameters()).device
    if isinstance(network, Prepared):
        return torch.zeros(1, height, width, channels, dtype=torch.uint8, device=device)
    return torch.zeros(1, channels, height, width, device=device)
