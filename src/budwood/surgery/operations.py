"""What a layer does, in words and with its settings, as a textbook's table names it."""

from torch import nn

from budwood.networks.efficientnet import SamePadding

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
    """The layer in words, with the settings that its shapes follow from.

    A type that is not known here goes by its own name.

    Example:
        >>> operation(nn.Conv2d(96, 256, 5, padding=2))
        '5x5 convolution, 256 channels, stride 1, padding 2'
        >>> operation(nn.MaxPool2d(3, stride=2))
        '3x3 max pooling, stride 2'
        >>> operation(nn.ReLU())
        'ReLU'
    """
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.ConvTranspose2d():
            return _convolution(layer)
        case nn.MaxPool2d() | nn.AvgPool2d():
            return _pooling(layer)
        case nn.AdaptiveAvgPool2d():
            return f"adaptive average pooling to {_by(layer.output_size)}"
        case nn.AdaptiveMaxPool2d():
            return f"adaptive max pooling to {_by(layer.output_size)}"
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
        f"{_by(layer.kernel_size)} {'max' if is_max else 'average'} pooling",
        f"stride {_setting(layer.stride)}",
        f"padding {_setting(layer.padding)}",
        f"dilation {_setting(layer.dilation)}" if is_max else "",
    )


def _listed(*settings: str) -> str:
    usual = ("", "padding 0", "padding valid", "dilation 1")
    return ", ".join(setting for setting in settings if setting not in usual)


def _by(size: object) -> str:
    """Height and width, such as 3x3, also of one number for both; None leaves them as they are."""
    pair = size if isinstance(size, tuple | list) else (size, size)
    return "x".join("any" if side is None else str(side) for side in pair)


def _setting(value: object) -> str:
    """One number, if it is the same along all axes."""
    sides = list(dict.fromkeys(value)) if isinstance(value, tuple | list) else [value]
    return str(sides[0]) if len(sides) == 1 else _by(value)
