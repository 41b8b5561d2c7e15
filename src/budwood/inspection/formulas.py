"""The arithmetic of a layer with its numbers put in, as a textbook's table prints it.

A size formula is given only if it comes to the size that was seen: a layer that computes otherwise
than its type says has none. `×` multiplies; `floor` and `ceil` round down and up, and are left out
where the division is exact.
"""

from collections.abc import Callable, Collection, Iterator
from math import ceil, floor, prod
from typing import Any

from torch import nn

from budwood.classics.efficientnet import SamePadding
from budwood.inspection.summary import Shape

_ANY = "any size"
_Rule = Callable[[Any, int, int], Iterator[tuple[str, int]]]
"""Takes a layer, an axis (counted from the end) and the size before it. Gives ways to reckon the
size after it, with what they come to; the likeliest first."""


def size_formula(layer: nn.Module, input: Shape | None, output: Shape | None) -> str | None:
    """How height and width of a layer's output follow from those of its input.

    One formula where both are the same, else two, height first. None where the layer leaves the
    size as it is, or no formula comes to the output's.
    """
    if input is None or output is None:
        return None
    if isinstance(layer, nn.Flatten):
        first, last = (axis % len(input) for axis in (layer.start_dim, layer.end_dim))
        return flattening_formula(input[first : last + 1], output[first])
    rule, axes = _rule(layer), 1 if isinstance(layer, nn.Conv1d) else 2
    if rule is None or len(input) != len(output) or len(input) <= axes:
        return None
    formulas = []
    for axis in range(-axes, 0):
        ways = rule(layer, axis, input[axis])
        true = next((way for way, size in ways if size == output[axis]), None)
        if true is None:
            return None
        formulas.append(true if true.startswith(_ANY) else f"{true} = {output[axis]}")
    return "; ".join(dict.fromkeys(formulas))


def flattening_formula(axes: Shape, values: int) -> str | None:
    """How many values there are when axes become one, channels named last: `6×6×256 = 9216`."""
    if len(axes) < 2 or prod(axes) != values:
        return None
    return f"{'×'.join(map(str, (*axes[1:], axes[0])))} = {values}"


def parameters_formula(
    layer: nn.Module, counted: Collection[nn.Parameter] | None = None
) -> str | None:
    """How many parameters a layer has of its own, its tensors one by one; None without any.

    Convolutions: channels out × channels in × kernel + bias. Linear layers: in × out + bias. With
    groups each channel sees a part of the channels in: `256×(96/2)×5×5+256 = 307456`.
    """
    own = dict(layer.named_parameters(recurse=False))
    wanted = set(map(id, own.values() if counted is None else counted))
    held = [
        (_product(layer, name, tuple(parameter.shape)), parameter.numel())
        for name, parameter in own.items()
        if id(parameter) in wanted
    ]
    if not held:
        return None
    return f"{'+'.join(product for product, _ in held)} = {sum(number for _, number in held)}"


def _product(layer: nn.Module, name: str, shape: Shape) -> str:
    sides = [str(side) for side in shape] or ["1"]
    if isinstance(layer, nn.Linear):
        sides.reverse()  # torch stores out x in; everybody says in times out
    elif isinstance(layer, nn.modules.conv._ConvNd) and name == "weight" and layer.groups > 1:
        sides[1] = f"({shape[1] * layer.groups}/{layer.groups})"
    return "×".join(sides)


def _rule(layer: nn.Module) -> _Rule | None:
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.MaxPool2d() | nn.AvgPool2d():
            return _sliding
        case nn.ConvTranspose2d():
            return _transposed
        case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d():
            return _adaptive
        case nn.ConstantPad2d() | nn.ReflectionPad2d() | nn.ReplicationPad2d() | nn.CircularPad2d():
            return _padded
        case SamePadding():
            return _fitted
        case nn.Upsample():
            return _upsampled
        case nn.PixelShuffle():
            return _shuffled
    return None


def _sliding(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    kernel, stride = _along(layer.kernel_size, axis), _along(layer.stride, axis)
    dilation = _along(getattr(layer, "dilation", 1), axis)
    reach = dilation * (kernel - 1) + 1
    margins = _margins(layer, axis, reach)
    way = f"({before}-{_reach(kernel, dilation)}{_margin_term(*margins)})"
    steps, rest = divmod(before - reach + sum(margins), stride)
    if rest and getattr(layer, "ceil_mode", False):
        yield f"ceil({way}/{stride})+1", steps + 2
    # Also with ceil_mode: no window starts beyond the input.
    yield f"floor({way}/{stride})+1" if rest else f"{way}/{stride}+1", steps + 1
    # A subclass that pads in its own code, so that every stride gives a pixel (TensorFlow's SAME).
    yield (
        f"ceil({before}/{stride})" if before % stride else f"{before}/{stride}",
        ceil(before / stride),
    )


def _transposed(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    kernel, stride = _along(layer.kernel_size, axis), _along(layer.stride, axis)
    dilation, padding = _along(layer.dilation, axis), _along(layer.padding, axis)
    more = _along(layer.output_padding, axis)
    way = f"({before}-1)×{stride}{f'-2×{padding}' if padding else ''}+{_reach(kernel, dilation)}"
    size = (before - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 + more
    yield f"{way}{f'+{more}' if more else ''}", size


def _adaptive(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    target = _along(layer.output_size, axis)
    yield (f"{before}", before) if target is None else (f"{_ANY} to {target}", target)


def _padded(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    start = 2 * (-axis - 1)  # torch names the last axis first
    first, last = layer.padding[start : start + 2]
    yield f"{before}{first:+d}{last:+d}", before + first + last


def _fitted(layer: SamePadding, axis: int, before: int) -> Iterator[tuple[str, int]]:
    more = layer.kernel - 1 - (before - 1) % layer.stride
    yield f"{before}+{more // 2}+{more - more // 2}", before + more


def _upsampled(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    if layer.size is not None:
        target = _along(layer.size, axis)
        yield f"{_ANY} to {target}", target
        return
    factor = _along(layer.scale_factor, axis)
    exact = before * factor == floor(before * factor)
    way = f"{before}×{factor:g}"
    yield way if exact else f"floor({way})", floor(before * factor)


def _shuffled(layer: Any, axis: int, before: int) -> Iterator[tuple[str, int]]:
    yield f"{before}×{layer.upscale_factor}", before * layer.upscale_factor


def _along(setting: Any, axis: int) -> Any:
    """A setting's value along one axis: it may be one for all."""
    return setting[axis] if isinstance(setting, tuple | list) else setting


def _margins(layer: Any, axis: int, reach: int) -> tuple[int, int]:
    if layer.padding == "same":
        return (reach - 1) // 2, reach // 2
    padding = 0 if layer.padding == "valid" else _along(layer.padding, axis)
    return padding, padding


def _margin_term(first: int, last: int) -> str:
    if first == last:
        return f"+2×{first}" if first else ""
    return f"+{first}+{last}"


def _reach(kernel: int, dilation: int) -> str:
    """Pixels from the first to the last that a window touches."""
    return str(kernel) if dilation == 1 else f"({dilation}×({kernel}-1)+1)"
