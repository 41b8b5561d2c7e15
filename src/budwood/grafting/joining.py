"""Whether one layer fits on another, and the adapter that stands between two that do not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from budwood.errors import CutError
from budwood.grafting.new_layers import NewLayer
from budwood.inspection.dryrun import hollow_twin
from budwood.inspection.summary import Shape


@dataclass(frozen=True)
class End:
    """One side of a joint, for the error to name."""

    name: str
    shape: Shape
    """Of one photo: channels, height and width of a map, or the length of a row of features."""

    @property
    def size(self) -> str:
        """Its shape in words: `128x28x28`."""
        return "x".join(map(str, self.shape))


@dataclass(frozen=True)
class Socket:
    """What a layer, or a piece of a network, is fed with."""

    name: str
    made_for: Callable[[int], nn.Module]
    """The module for so many channels or features; it runs on shapes alone."""
    wants: Shape | None
    """What it was made for; None if its size follows from what enters."""
    vectors_only: bool = False
    """True if it must not be fed with maps, though PyTorch would let it."""

    def gives(self, shape: Shape) -> Shape:
        """The shape that it makes of another."""
        if self.vectors_only and len(shape) != 1:
            raise CutError("it takes rows of features, not maps")
        module = self.made_for(shape[0])
        try:
            with torch.no_grad():
                output = module(torch.empty(2, *shape, device="meta"))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as problem:
            raise CutError(str(problem).partition("\n")[0]) from None
        return tuple(output.shape[1:])

    @classmethod
    def of(cls, layer: NewLayer, name: str, entering: Shape, classes: int | None) -> "Socket":
        """The socket of a new layer; where it says what must enter, that is wanted."""
        given = layer.entering
        wants = None if given is None else (given, *(() if layer.takes_vectors else entering[1:]))

        def made_for(channels: int) -> nn.Module:
            with torch.device("meta"):
                return layer.made(channels, classes).eval()

        return cls(name, made_for, wants, layer.takes_vectors)


@dataclass(frozen=True)
class Joint:
    """How a layer is joined to the one before it."""

    adapters: tuple[NewLayer, ...]
    entering: tuple[Shape, ...]
    """What enters each adapter, and after them the layer."""
    gives: Shape
    """What the layer makes of it."""


def on_shapes(module: nn.Module) -> nn.Module:
    """A copy of a module that runs on shapes alone, as it would when it is not trained."""
    return hollow_twin(module).eval()


def join(before: End, socket: Socket, adapt: bool) -> Joint:
    """Join a layer to what comes before it, through adapters only if it does not fit."""
    try:
        return Joint((), (before.shape,), socket.gives(before.shape))
    except CutError as failure:
        reason = str(failure)
    for adapters in _adapters(before.shape, socket.wants):
        entering = [before.shape]
        try:
            for adapter in adapters:
                entering.append(Socket.of(adapter, "", entering[-1], None).gives(entering[-1]))
            joint = Joint(adapters, tuple(entering), socket.gives(entering[-1]))
        except CutError:
            continue
        if adapt:
            return joint
        raise _misfit(before, socket, reason, f"Set adapt = true: {described(joint)}.")
    raise _misfit(before, socket, reason, "Put layers between them that make one of the other.")


def described(joint: Joint) -> str:
    """What adapters do, in words: "a 1x1 convolution from 128 to 480 channels"."""
    words = []
    for adapter, shape in zip(joint.adapters, joint.entering, strict=False):
        options = adapter.options
        if adapter.type == "Conv2d":
            words.append(f"a 1x1 convolution from {shape[0]} to {options['out_channels']} channels")
        elif adapter.type == "Flatten":
            words.append("a flattening")
        else:
            size = options.get("output_size", options.get("size"))
            words.append(f"a resize from {shape[1]}x{shape[2]} to {size[0]}x{size[1]}")
    return f"{' and '.join(words)} between them"


def _adapters(have: Shape, want: Shape | None) -> Iterator[tuple[NewLayer, ...]]:
    """Adapters from one shape to another, those that change least first."""
    flatten = NewLayer(type="Flatten")
    if len(have) != 3:
        return
    if want is None:
        yield (flatten,)
    elif len(want) == 1:
        yield (flatten,)
        yield _resize(have, (1, 1)), flatten
        yield _resize(have, (1, 1)), _convolution(want[0]), flatten
    elif len(want) == 3:
        yield (_convolution(want[0]),)
        yield (_resize(have, want[1:]),)
        yield _resize(have, want[1:]), _convolution(want[0])


def _convolution(channels: int) -> NewLayer:
    return NewLayer(type="Conv2d", options={"out_channels": channels, "kernel_size": 1})


def _resize(have: Shape, size: Shape) -> NewLayer:
    """Averaging where a map shrinks, interpolation where it grows."""
    if have[1] >= size[0] and have[2] >= size[1]:
        return NewLayer(type="AdaptiveAvgPool2d", options={"output_size": list(size)})
    return NewLayer(type="Upsample", options={"size": list(size), "mode": "bilinear"})


def _misfit(before: End, socket: Socket, reason: str, next: str) -> CutError:
    wanted = "x".join(map(str, socket.wants)) if socket.wants else None
    takes = f"takes {wanted}" if wanted else f"cannot take that ({reason})"
    return CutError(
        f"{socket.name} does not fit on {before.name}: {before.name} gives {before.size}, "
        f"{socket.name} {takes}.",
        next=next,
    )
