"""Whether one layer fits on another, and the adapter that stands between two that do not.

What photos are like for a graft: the donor that sees them decides, and others are told of.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from budwood.errors import CutError
from budwood.grafting.new_layers import NewLayer
from budwood.images.preprocessing import Preprocessing
from budwood.inspection.dryrun import hollow_twin

Shape = tuple[int, ...]
"""Of one photo: channels, height and width of a map, or the length of a row of features."""


@dataclass(frozen=True)
class End:
    """One side of a joint, for the error to name."""

    name: str
    shape: Shape

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
    gives: Shape
    """What the layer makes of what enters."""


def on_shapes(module: nn.Module) -> nn.Module:
    """A copy of a module that runs on shapes alone, as it would when it is not trained."""
    return hollow_twin(module).eval()


def join(before: End, socket: Socket, adapt: bool) -> Joint:
    """Join a layer to what comes before it, through adapters only if it does not fit."""
    try:
        return Joint((), socket.gives(before.shape))
    except CutError as failure:
        reason = str(failure)
    for adapters in _adapters(before.shape, socket.wants):
        try:
            shape = _through(adapters, before.shape)
            joint = Joint(adapters, socket.gives(shape))
        except CutError:
            continue
        if adapt:
            return joint
        raise _misfit(
            before, socket, reason, f"Set adapt = true: {described(adapters, before.shape)}."
        )
    raise _misfit(before, socket, reason, "Put layers between them that make one of the other.")


def described(adapters: tuple[NewLayer, ...], shape: Shape) -> str:
    """What adapters do, in words: "a 1x1 convolution from 128 to 480 channels"."""
    words = []
    for adapter in adapters:
        options = adapter.options
        if adapter.type == "Conv2d":
            words.append(f"a 1x1 convolution from {shape[0]} to {options['out_channels']} channels")
        elif adapter.type == "Flatten":
            words.append("a flattening")
        else:
            size = options.get("output_size", options.get("size"))
            words.append(f"a resize from {shape[1]}x{shape[2]} to {size[0]}x{size[1]}")
        shape = _through((adapter,), shape)
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


def _through(adapters: tuple[NewLayer, ...], shape: Shape) -> Shape:
    for adapter in adapters:
        shape = Socket.of(adapter, "adapter", shape, None).gives(shape)
    return shape


def _misfit(before: End, socket: Socket, reason: str, next: str) -> CutError:
    wanted = "x".join(map(str, socket.wants)) if socket.wants else None
    takes = f"takes {wanted}" if wanted else f"cannot take that ({reason})"
    return CutError(
        f"{socket.name} does not fit on {before.name}: {before.name} gives {before.size}, "
        f"{socket.name} {takes}.",
        next=next,
    )


_IMAGENET = Preprocessing(
    size=(224, 224),
    resize=256,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
"""For a graft without a donor: what most weights expect."""


@dataclass(frozen=True)
class DonorInput:
    """Layers of a donor, and the photos that it was trained on."""

    name: str
    fed_by: str
    """What comes before them in the graft."""
    sees_the_photo: bool
    """Whether they are fed with the photo itself in the graft."""
    began_with_the_photo: bool
    """Whether they were fed with the photo itself in the donor."""
    preprocessing: Preprocessing | None


def photo_shape(preprocessing: Preprocessing | None) -> tuple[int, int, int]:
    """Channels, height and width that photos have for a donor."""
    chosen = preprocessing or _IMAGENET
    return len(chosen.mean), *chosen.size


def preprocessing_for(shape: tuple[int, int, int], taken: Sequence[DonorInput]) -> Preprocessing:
    """How photos are prepared for a graft.

    As for the donor whose layers see the photo; if none does, as for the donor that comes first.
    Grey photos for a donor that was trained on colour get the average of its three channels.

    Example:
        >>> print(preprocessing_for((1, 112, 112), []))
        shorter side to 128 (bilinear), centre 112 x 112, mean 0.449, std 0.226, grey
    """
    channels, height, width = shape
    known = [each for each in taken if each.preprocessing is not None]
    chosen = next((each.preprocessing for each in known), None) or _IMAGENET
    if chosen.size != (height, width):
        scaled = chosen.at_size(max(height, width))
        exact = isinstance(scaled.resize, tuple) or height != width
        chosen = replace(
            scaled, size=(height, width), resize=(height, width) if exact else scaled.resize
        )
    if len(chosen.mean) == channels or channels not in (1, 3):
        return chosen
    mean, std = (_spread(values, channels) for values in (chosen.mean, chosen.std))
    return replace(chosen, mean=mean, std=std)


def normalisation_notes(photo: Preprocessing, taken: Sequence[DonorInput]) -> Iterator[str]:
    """A line for each donor whose normalisation plays no part in the graft, or contradicts it."""
    for each in taken:
        theirs = each.preprocessing
        if theirs is None:
            continue
        if each.began_with_the_photo and not each.sees_the_photo:
            yield (
                f"{each.name} was trained on photos ({_constants(theirs)}); here {each.fed_by} "
                "feeds it, so that normalisation plays no part."
            )
        elif (theirs.mean, theirs.std) != (photo.mean, photo.std) and len(theirs.mean) == len(
            photo.mean
        ):
            yield (
                f"{each.name} was trained on photos with {_constants(theirs)}; this graft's photos "
                f"have {_constants(photo)}, for the donor that comes first."
            )


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return (round(sum(values) / len(values), 4),) * channels


def _constants(preprocessing: Preprocessing) -> str:
    mean, std = (
        " ".join(f"{value:g}" for value in values)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return f"mean {mean}, std {std}"
