"""A network as a picture: its blocks, branches, shortcuts and shapes, and what of it is frozen.

Nothing is computed or allocated: the network's code is traced, and its shapes are found by running
the trace on shapes alone. So networks on the meta device can be drawn too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from budwood.display import displayed
from budwood.drawing.blocks import BlockFrame, blocks_of, folded
from budwood.drawing.layout import laid_out
from budwood.drawing.steps import GraphSteps, steps_of
from budwood.drawing.svg import svg_of
from budwood.errors import ConfigError, CutError
from budwood.files import whole_file
from budwood.inspection.summarizing import require_sizes
from budwood.models.info import info, input_shape
from budwood.surgery.recording import Shapes, probe_shapes
from budwood.surgery.tracing import UntraceableError, trace
from budwood.text import short

ImageArray = tuple[int, int, int]


@displayed
@dataclass(frozen=True)
class Drawing:
    """A picture of a network; a notebook shows it."""

    svg: str
    """The picture: a complete SVG document that follows the reader's light or dark mode."""

    def save(self, path: Path | str) -> None:
        """Write the picture to a file, whole or not at all."""
        with whole_file(Path(path)) as file:
            file.write(self.svg.encode())

    def _repr_svg_(self) -> str:
        return self.svg


def draw(
    network: nn.Module,
    input: ImageArray | None = None,
    *,
    title: str | None = None,
    fold: bool = True,
) -> Drawing:
    """The network as a picture, from the photo at the top to what is made of it at the bottom.

    Layers are boxes, with the normalisation, activation and dropout that follow them; modules are
    frames around them. Green trains, blue is frozen. Identity shortcuts are solid arcs, projection
    shortcuts are dashed and show their 1x1 convolution. The network is seen in the mode it is in:
    auxiliary heads, for instance, only run in train mode.

    Args:
        network: Any network whose code torch.fx can trace; it is not changed. Blocks that cannot
            be traced are one box each.
        input: Channels, height and width; by default those of the network's preprocessing, else
            3, 224 and 224.
        title: The line above; by default the architecture's name.
        fold: Draw blocks that are there several times in a row once, with their number.

    Raises:
        ConfigError: If `input` is no photo's size, or the network has layers whose size is not
            known yet.
        CutError: If the network's own code cannot be traced, or it cannot run on that input.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2))
        >>> drawing = draw(net, (3, 5, 5), title="A small one")
        >>> "conv 3x3, 8" in drawing.svg
        True
    """
    shapes = _shapes(network, input or input_shape(network))
    steps = steps_of(shapes)
    if not steps.outputs:
        raise CutError(
            "The network's output does not depend on its input.",
            next="Pass a network whose forward uses the photo it is given.",
        )
    whole = blocks_of(steps, network)
    place = laid_out(folded(whole) if fold else whole)
    lines = tuple(_totals(network, steps, shapes))
    return Drawing(svg_of(place, title or _architecture(network), lines))


def blocks_in(network: nn.Module, input: ImageArray | None = None) -> BlockFrame:
    """The nested blocks that a drawing of the network shows, none of them folded."""
    return blocks_of(steps_of(_shapes(network, input or input_shape(network))), network)


def _shapes(network: nn.Module, image: ImageArray) -> Shapes:
    """The network's graph, with the shape of every value in it."""
    if len(image) != 3 or min(image) < 1:
        raise ConfigError(
            f"An input of {image} is no photo.",
            next="Give channels, height and width, such as 3, 224 and 224.",
        )
    require_sizes(network)
    parameters = [p for p in network.parameters() if p.is_floating_point()]
    example = torch.empty(
        (1, *image),
        dtype=parameters[0].dtype if parameters else None,
        device=parameters[0].device if parameters else None,
    )
    try:
        # A module without modules in it is one layer, whatever its code does.
        traced = trace(network, lambda path: any(network.get_submodule(path).children()))
        return probe_shapes(traced, example)
    except UntraceableError as failure:
        raise CutError(
            f"{type(network).__name__} cannot be drawn: its code cannot be traced ({failure}).",
            next="`budwood inspect` without --draw lists its layers all the same.",
        ) from None


def _architecture(network: nn.Module) -> str:
    origin = info(network).origin
    return type(network).__name__ if origin is None else origin.architecture


def _totals(network: nn.Module, steps: GraphSteps, shapes: Shapes) -> Iterator[str]:
    """The lines below the title."""
    parameters = list(network.parameters())
    count = sum(parameter.numel() for parameter in parameters)
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    macs = short(shapes.total_macs // shapes.batches[0])
    _, answer = steps.outputs[0]
    yield (
        f"{type(network).__name__}: {steps.steps[0].shape} to {answer.shape}, "
        f"{macs} multiply-adds a photo"
    )
    share = 100 * trainable / count if count else 0
    yield f"{count:,} parameters, of these trainable {trainable:,} ({share:.2f} %)"
    drawn = {id(p) for step in steps.steps for p in step.parameters.values()}
    left_out = list(_left_out(network, "", drawn))
    if left_out:
        mode = "train" if network.training else "eval"
        size = sum(p.numel() for p in parameters if id(p) not in drawn)
        yield f"Not drawn, as it does not run in {mode} mode: {', '.join(left_out)} ({size:,})"


def _left_out(module: nn.Module, path: str, drawn: set[int]) -> Iterator[str]:
    """The largest modules none of whose parameters are drawn, and single parameters like that."""
    own = {id(parameter) for parameter in module.parameters()}
    if own and path and own.isdisjoint(drawn):
        yield path
    elif not own <= drawn:
        prefix = f"{path}." if path else ""
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in drawn:
                yield prefix + name
        for name, child in module.named_children():
            yield from _left_out(child, prefix + name, drawn)
