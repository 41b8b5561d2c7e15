"""What a network is made of: layer by layer, its shapes, sizes, cost and what of it is frozen."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import nn
from torch.nn.parameter import is_lazy

from budwood.classics.efficientnet import SamePadding
from budwood.errors import ConfigError
from budwood.inspection.dryrun import Visit, dry_run
from budwood.inspection.formulas import flattening_formula, parameters_formula, size_formula
from budwood.inspection.summary import LayerRow, Shape, State, Summary
from budwood.models.info import input_shape

_NAMED: dict[type[nn.Module], str] = {
    nn.Linear: "linear",
    nn.Flatten: "flatten",
    nn.Identity: "identity",
    nn.LocalResponseNorm: "local response normalisation",
    nn.modules.batchnorm._BatchNorm: "batch normalisation",
    nn.modules.instancenorm._InstanceNorm: "instance normalisation",
    nn.LayerNorm: "layer normalisation",
    nn.ZeroPad2d: "zero padding",
    nn.ConstantPad2d: "constant padding",
    nn.ReflectionPad2d: "reflection padding",
    nn.ReplicationPad2d: "replication padding",
    nn.CircularPad2d: "circular padding",
    nn.PixelShuffle: "pixel shuffle",
    nn.PixelUnshuffle: "pixel unshuffle",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.Softmax: "softmax",
    nn.LogSoftmax: "log softmax",
    nn.Hardswish: "hard swish",
    nn.Hardsigmoid: "hard sigmoid",
}
"""Layers whose name says it all; also of subclasses."""


def operation(layer: nn.Module) -> str:
    """The layer in words, with the settings that its shapes follow from, else by its type."""
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.ConvTranspose2d():
            return _convolution(layer)
        case nn.MaxPool2d() | nn.AvgPool2d():
            return _pooling(layer)
        case nn.AdaptiveAvgPool2d():
            return f"adaptive average pooling to {size_text(layer.output_size)}"
        case nn.AdaptiveMaxPool2d():
            return f"adaptive max pooling to {size_text(layer.output_size)}"
        case SamePadding():
            return f"padding for stride {layer.stride}"
        case nn.GroupNorm():
            return f"group normalisation, {layer.num_groups} groups"
        case nn.ChannelShuffle():
            return f"channel shuffle, {layer.groups} groups"
        case nn.MultiheadAttention():
            return f"attention, {layer.num_heads} heads"
        case nn.Dropout() | nn.Dropout2d() | nn.AlphaDropout():
            return f"dropout, probability {layer.p:g}"
        case nn.LeakyReLU():
            return f"leaky ReLU, slope {layer.negative_slope:g}"
        case nn.Upsample():
            return f"upsampling, {layer.mode}"
    kinds = type(layer).__mro__
    return next((_NAMED[kind] for kind in kinds if kind in _NAMED), type(layer).__name__)


def _convolution(layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d) -> str:
    is_depthwise = layer.groups == layer.in_channels > 1
    kind = "transposed " if layer.transposed else "depthwise " if is_depthwise else ""
    return _listed(
        f"{'x'.join(map(str, layer.kernel_size))} {kind}convolution",
        f"{layer.out_channels} channels",
        f"stride {_setting(layer.stride)}",
        f"padding {_setting(layer.padding)}",
        f"dilation {_setting(layer.dilation)}",
        f"{layer.groups} groups" if layer.groups > 1 and not is_depthwise else "",
    )


def _pooling(layer: nn.MaxPool2d | nn.AvgPool2d) -> str:
    is_max = isinstance(layer, nn.MaxPool2d)
    return _listed(
        f"{size_text(layer.kernel_size)} {'max' if is_max else 'average'} pooling",
        f"stride {_setting(layer.stride)}",
        f"padding {_setting(layer.padding)}",
        f"dilation {_setting(layer.dilation)}" if is_max else "",
    )


def _listed(*settings: str) -> str:
    usual = ("", "padding 0", "padding valid", "dilation 1")
    return ", ".join(setting for setting in settings if setting not in usual)


def size_text(size: object) -> str:
    """Height and width, such as 3x3, also of one number for both; None leaves them as they are."""
    pair = size if isinstance(size, tuple | list) else (size, size)
    pair = tuple(pair) * 2 if len(pair) == 1 else pair
    return "x".join("any" if side is None else str(side) for side in pair)


def _setting(value: object) -> str:
    """One number, if it is the same along all axes."""
    sides = list(dict.fromkeys(value)) if isinstance(value, tuple | list) else [value]
    return str(sides[0]) if len(sides) == 1 else size_text(value)


def rows_of(network: nn.Module, visits: Mapping[str, Visit]) -> list[LayerRow]:
    """A row for the network, called `""` and of depth 0, then one for each thing in it.

    What is shared is counted where it comes first.
    """
    return _LayerTree(visits).rows(network, "", 0)


class _LayerTree:
    """Walks through a tree of modules and remembers what it has counted."""

    def __init__(self, visits: Mapping[str, Visit]) -> None:
        self._visits = visits
        self._counted: set[int] = set()

    def rows(self, module: nn.Module, name: str, depth: int) -> list[LayerRow]:
        """The module's row, followed by those of all that is in it."""
        self._counted.add(id(module))
        own = self._own(module, name, depth)
        parts, below = [own], _beside(own)
        for key, child in module.named_children():
            if id(child) not in self._counted:
                child_name = f"{name}.{key}".lstrip(".")
                block = self.rows(child, child_name, depth + 1)
                parts.append(block[0])
                below += [*self._flattening(child_name, own), *block]
        if len(parts) == 1:
            return [own]
        whole = replace(
            own,
            operation="",
            size_formula=None,
            parameters=sum(part.parameters for part in parts),
            trainable=sum(part.trainable for part in parts),
            parameters_formula=None,
            macs=sum(part.macs for part in parts),
            state=state_of(module.parameters()),
        )
        return [whole, *below]

    def _own(self, module: nn.Module, name: str, depth: int) -> LayerRow:
        """A row of what the module holds and does itself, without its children."""
        held = list(module.parameters(recurse=False))
        new = [parameter for parameter in held if id(parameter) not in self._counted]
        self._counted.update(map(id, new))
        visit = self._visits.get(name, Visit())
        return LayerRow(
            name=name,
            type=type(module).__name__,
            depth=depth,
            input=visit.input,
            operation=operation(module),
            output=visit.output,
            size_formula=size_formula(module, visit.input, visit.output),
            parameters=sum(parameter.numel() for parameter in new),
            trainable=sum(parameter.numel() for parameter in new if parameter.requires_grad),
            parameters_formula=parameters_formula(module, new),
            macs=visit.macs,
            state=state_of(held),
            receptive_field=visit.receptive_field,
        )

    def _flattening(self, name: str, block: LayerRow) -> list[LayerRow]:
        """The row of the flattening that a block's code does before it calls this layer."""
        visit = self._visits.get(name, Visit())
        if visit.flattened is None or visit.input is None:
            return []
        flattening = LayerRow(
            name=f"{block.name}.(flatten)".lstrip("."),
            type="flatten",
            depth=block.depth + 1,
            input=visit.flattened,
            operation="flatten",
            output=visit.input,
            size_formula=flattening_formula(visit.flattened[1:], visit.input[1]),
        )
        return [flattening]


def _beside(own: LayerRow) -> list[LayerRow]:
    """The row of what a block has beside its layers, if that is anything."""
    if not (own.parameters or own.macs):
        return []
    return [
        replace(
            own,
            name=f"{own.name}.(own)".lstrip("."),
            depth=own.depth + 1,
            input=None,
            output=None,
            size_formula=None,
            receptive_field=None,
        )
    ]


def state_of(parameters: Iterable[nn.Parameter]) -> State:
    """Whether parameters are frozen; `-` without any."""
    trains = {parameter.requires_grad for parameter in parameters}
    if len(trains) == 2:
        return "partly"
    return "-" if not trains else "trainable" if True in trains else "frozen"


def summarize(
    network: nn.Module,
    input: tuple[int, int, int] | None = None,
    depth: int | None = None,
    batch: int = 1,
) -> Summary:
    """The network's layers with shapes, parameters, multiply-adds, state and receptive field.

    Nothing is computed or allocated, so networks on the meta device can be summarised as well, and
    the network is left as it was. It is seen in the mode it is in: auxiliary heads, for instance,
    only run in train mode.

    Args:
        network: Any network that takes one batch of images.
        input: Channels, height and width; by default those of the network's preprocessing, else
            3, 224 and 224.
        depth: Blocks nested deeper than this are summed up in one row; all are shown by default.
        batch: Photos in the batch.

    Raises:
        ConfigError: If an argument is impossible, the network cannot run on that input, or it has
            layers whose size is not known yet.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 2))
        >>> print(summarize(net, (3, 5, 5)))
        layer  type     state       output  parameters  multiply-adds  field
        0      Conv2d   trainable  1x8x3x3         224         1.94 k      3
        1      Flatten  -             1x72           -              -      -
        2      Linear   trainable      1x2         146            144      -
        <BLANKLINE>
        Sequential: 1x3x5x5 to 1x2
        parameters: 370, of these trainable 370 (100.00 %)
        multiply-adds: 2.09 k
    """
    shape = (batch, *(input or input_shape(network)))
    _check(network, shape, depth)
    whole, *rows = rows_of(network, dry_run(network, shape))
    if not rows:
        rows = [replace(whole, name="(own)", depth=1)]
    return Summary(
        type=whole.type,
        input=shape,
        output=whole.output,
        parameters=whole.parameters,
        trainable=whole.trainable,
        macs=whole.macs,
        rows=tuple(rows),
    ).to_depth(depth)


def _check(network: nn.Module, shape: Shape, depth: int | None) -> None:
    if len(shape) != 4 or min(shape) < 1:
        raise ConfigError(
            f"An input of {shape[1:]} in a batch of {shape[0]} is no batch of images.",
            expected="All sizes must be at least 1.",
            next="Give channels, height and width, such as --input 3,224,224.",
        )
    if depth is not None and depth < 1:
        raise ConfigError(f"depth is {depth}.", expected="--depth must be at least 1.")
    require_sizes(network)


def require_sizes(network: nn.Module) -> None:
    """Raise if a layer is lazy: its size is not known before it has run."""
    unknown = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if unknown:
        raise ConfigError(
            f"The size of {unknown[0]!r} is not known yet.",
            next="Run the network once on a real batch; that settles the size of lazy layers.",
        )
