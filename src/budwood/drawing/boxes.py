"""From steps to boxes, and what is written in them, as figures in textbooks do.

A box is a layer, together with the small steps that follow it. A *note* is a small step that goes
without a box where it follows a layer: normalisation, activation, dropout, a change of shape.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from budwood.drawing.steps import GraphStep, GraphSteps
from budwood.inspection.summarizing import operation, size_text, state_of
from budwood.inspection.summary import State as State
from budwood.surgery.torch_internals import BatchNorm, tree_leaves
from budwood.surgery.tracing import DROPPING_FUNCTIONS, is_random_module

_NORMS: tuple[tuple[type[nn.Module], str, str], ...] = (
    (BatchNorm, "BN", "batch norm"),
    (_InstanceNorm, "instance norm", "instance norm"),
    (nn.LayerNorm, "LN", "layer norm"),
    (nn.GroupNorm, "GN", "group norm"),
    (nn.LocalResponseNorm, "LRN", "local response norm"),
)
"""Normalisations, as a note and as a title."""

_ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softmax, nn.LogSoftmax, nn.Softplus),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh),
)

_FUNCTIONS = {
    **dict.fromkeys(("view", "reshape", "permute", "transpose", "unsqueeze"), "reshape"),
    **dict.fromkeys(("squeeze", "unflatten", "movedim", "swapaxes", "expand"), "reshape"),
    **dict.fromkeys(("chunk", "split", "unbind", "tensor_split"), "split"),
    **dict.fromkeys(("getitem", "narrow", "select", "index_select"), "slice"),
    **{"relu": "ReLU", "relu_": "ReLU", "relu6": "ReLU6", "leaky_relu": "leaky ReLU"},
    **{"silu": "SiLU", "gelu": "GELU", "elu": "ELU", "mish": "Mish", "hardtanh": "hard tanh"},
    **{"hardswish": "hard swish", "hardsigmoid": "hard sigmoid", "log_softmax": "log softmax"},
    **{"layer_norm": "LN", "batch_norm": "BN", "group_norm": "GN", "local_response_norm": "LRN"},
    **{name: name for name in ("sigmoid", "tanh", "softmax", "softplus", "flatten", "pad", "roll")},
}
"""Functions that are notes."""

JOINS = {
    **{"add": "+", "iadd": "+", "add_": "+", "sub": "-", "isub": "-"},
    **{"mul": "x", "imul": "x", "mul_": "x", "truediv": "/", "div": "/"},
    **{"cat": "concat", "concat": "concat", "concatenate": "concat"},
}
"""Functions of two values; with one value and a constant they are notes."""


def title_of(step: GraphStep) -> str:
    """What a box says that it does."""
    if step.module is not None:
        return layer_title(step.module)
    if len(step.sources) > 1:
        return JOINS.get(step.function, step.function)
    return _function_title(step) or note_of(step) or step.function


def layer_title(layer: nn.Module) -> str:
    """What a layer does, in a few words; a type that is not known goes by its name."""
    match layer:
        case _ConvNd():
            return _convolution(layer)
        case nn.Linear():
            return f"linear {layer.out_features}"
        case nn.MaxPool2d() | nn.AvgPool2d():
            kind = "max" if isinstance(layer, nn.MaxPool2d) else "avg"
            return _pooling(kind, layer.kernel_size, layer.stride)
        case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d():
            kind = "max" if isinstance(layer, nn.AdaptiveMaxPool2d) else "avg"
            return _adaptive(kind, layer.output_size)
        case nn.MultiheadAttention():
            return f"attention, {layer.num_heads} heads"
    full = next((title for kind, _, title in _NORMS if isinstance(layer, kind)), None)
    return full or layer_note(layer) or operation(layer)


def note_of(step: GraphStep) -> str | None:
    """What a step is called where it follows a layer; None for one that is no note."""
    if step.module is not None:
        return layer_note(step.module)
    if len(step.sources) > 1:
        return None
    if step.function in DROPPING_FUNCTIONS:
        return "dropout" if "dropout" in step.function else "stochastic depth"
    if step.function in JOINS:
        return f"{JOINS[step.function]} {_other_operand(step)}"
    return _FUNCTIONS.get(step.function)


def layer_note(layer: nn.Module) -> str | None:
    """What a layer is called where it follows another; None for one that has a box of its own."""
    if isinstance(layer, _DropoutNd):
        return f"dropout {layer.p:g}"
    if is_random_module(layer) and not isinstance(layer, nn.RReLU):
        return "stochastic depth"
    if isinstance(layer, _ACTIVATIONS):
        return operation(layer).partition(",")[0]
    if isinstance(layer, nn.Flatten):
        return "flatten"
    norm = next((note for kind, note, _ in _NORMS if isinstance(layer, kind)), None)
    # timm's normalisations can hold the activation that follows them.
    held = getattr(layer, "act", None)
    after = layer_note(held) if norm and isinstance(held, nn.Module) else None
    return f"{norm}, {after}" if after else norm


def _other_operand(step: GraphStep) -> str:
    """What a value is joined with where that is no other step's value."""
    if step.parameters:
        return next(iter(step.parameters)).rpartition(".")[2]
    given = [value for value in tree_leaves(step.node.args) if isinstance(value, fx.Node)]
    return "itself" if len(given) > 1 and len(set(given)) == 1 else "constant"


def _convolution(layer: _ConvNd) -> str:
    kernel = "x".join(map(str, layer.kernel_size))
    is_depthwise = layer.groups == layer.in_channels > 1
    kind = "depthwise" if is_depthwise else "transposed conv" if layer.transposed else "conv"
    settings = [f"{kind} {kernel}", str(layer.out_channels), _stride(layer.stride)]
    if layer.groups > 1 and not is_depthwise:
        settings.append(f"{layer.groups} groups")
    if max(layer.dilation) > 1:
        settings.append(f"dilation {max(layer.dilation)}")
    return ", ".join(filter(None, settings))


def _function_title(step: GraphStep) -> str | None:
    """The title of a function that is a layer in all but name."""
    match step.function:
        case "max_pool2d" | "avg_pool2d":
            kernel = _argument(step.node, 1, "kernel_size")
            return _pooling(step.function[:3], kernel, _argument(step.node, 2, "stride") or kernel)
        case "adaptive_avg_pool2d" | "adaptive_max_pool2d":
            return _adaptive(step.function[9:12], _argument(step.node, 1, "output_size"))
        case "mean":
            return "mean"
        case "scaled_dot_product_attention":
            return "attention"
        case "linear" | "conv2d" if step.parameters:
            return f"{step.function} {next(iter(step.parameters.values())).shape[0]}"
    return None


def _argument(node: fx.Node, position: int, name: str) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name)


def _pooling(kind: str, kernel: object, stride: object) -> str:
    return ", ".join(filter(None, (f"{kind} pool {size_text(kernel)}", _stride(stride))))


def _adaptive(kind: str, size: object) -> str:
    by = size_text(size)
    return f"global {kind} pool" if by == "1x1" else f"{kind} pool to {by}"


def _stride(stride: object) -> str:
    by = size_text(stride)
    high, _, wide = by.partition("x")
    return "" if by == "1x1" else f"/{high}" if high == wide else f"/{by}"


Kind = Literal["input", "layer", "join", "output"]


@dataclass(frozen=True)
class Box:
    """One box of a drawing, or the sign where several values become one."""

    kind: Kind
    title: str
    name: str = ""
    """The path of the layer, as `freeze` takes it; nothing for a function."""
    notes: tuple[str, ...] = ()
    """The small steps that follow the layer."""
    shape: str = ""
    """The shape of what it gives; with that before the notes where these change it."""
    parameters: int = 0
    """Those that no box before it has counted already."""
    state: State = "-"
    is_pointwise: bool = False
    """True for a 1x1 convolution."""
    about: str = ""
    """All that there is to say of it, in a line."""
    settings: tuple[str, ...] = ()
    """What else must be the same for two boxes to be drawn as one."""


@dataclass(frozen=True)
class Boxes:
    """The boxes of a network and what leads from one to the other, by number."""

    boxes: tuple[Box, ...]
    """In the order in which they run."""
    links: tuple[tuple[int, int], ...]
    members: tuple[tuple[GraphStep, ...], ...]
    """The steps of each box; none for one that shows what the network gives back."""


def boxes_of(steps: GraphSteps, apart: Collection[GraphStep] = ()) -> Boxes:
    """The boxes that show these steps, and links between them.

    A note joins the box before it if nothing else uses that box's value. Parameters make an
    exception: a normalisation cannot join the sign of an addition.
    """
    groups = _grouped(steps, apart)
    number = {step: i for i, group in enumerate(groups) for step in group}
    counted: set[int] = set()
    boxes = [_box(group, counted) for group in groups]
    links = {
        (number[source], i): None
        for i, group in enumerate(groups)
        for step in group
        for source in step.sources
        if number[source] != i
    }
    for name, step in steps.outputs:
        links[number[step], len(boxes)] = None
        boxes.append(Box("output", name or "output", shape=step.shape, about=name or "output"))
        groups.append([])
    return Boxes(tuple(boxes), tuple(links), tuple(map(tuple, groups)))


def _grouped(steps: GraphSteps, apart: Collection[GraphStep]) -> list[list[GraphStep]]:
    uses = Counter(source for step in steps.steps for source in step.sources)
    uses.update(step for _, step in steps.outputs)
    groups: dict[GraphStep, list[GraphStep]] = {}
    """Each step's group."""
    for step in steps.steps:
        group = groups.get(step.sources[0]) if len(step.sources) == 1 else None
        is_free = group is not None and group[-1] is step.sources[0] and uses[group[-1]] == 1
        if group and is_free and step not in apart and _may_follow(group[0], step):
            group.append(step)
            groups[step] = group
        else:
            groups[step] = [step]
    return list({id(group): group for group in groups.values()}.values())


def _may_follow(first: GraphStep, step: GraphStep) -> bool:
    is_bare = first.module is None and len(first.sources) != 1  # a photo, or a sign
    return note_of(step) is not None and not (is_bare and (step.parameters or not first.sources))


def _box(steps: list[GraphStep], counted: set[int]) -> Box:
    first, *others = steps
    is_join = first.module is None and len(first.sources) > 1
    kind: Kind = "input" if first.node.op == "placeholder" else "join" if is_join else "layer"
    used = {name: p for step in steps for name, p in step.parameters.items()}
    new = [p for p in used.values() if id(p) not in counted]
    counted.update(map(id, new))
    size = sum(parameter.numel() for parameter in {id(p): p for p in new}.values())
    state = state_of(used.values())
    notes = [note for step in others if (note := note_of(step))]
    last = steps[-1].shape
    about = [_said(step) for step in steps]
    if state != "-":
        about.append(f"{size:,} parameters, {state}" if size else f"shared parameters, {state}")
    return Box(
        kind=kind,
        title="input" if kind == "input" else title_of(first),
        name=first.path,
        notes=tuple(dict.fromkeys(notes)),
        shape=last if first.shape == last or note_of(first) else f"{first.shape} to {last}",
        parameters=size,
        state=state,
        is_pointwise=isinstance(first.module, _ConvNd) and max(first.module.kernel_size) == 1,
        about="; ".join(about),
        settings=tuple(map(_settings, steps)),
    )


def _said(step: GraphStep) -> str:
    if step.module is not None:
        return f"{step.path}: {operation(step.module)}"
    names = ", ".join(step.parameters)
    return f"{step.function} with {names}" if names else step.function or "the photo"


def _settings(step: GraphStep) -> str:
    if step.module is None:
        given = fx.node.map_arg((step.node.args, step.node.kwargs), lambda node: "a value")
        return f"{step.function} {given}"
    # The rate of stochastic depth grows from block to block; they are the same all the same.
    if note_of(step) == "stochastic depth":
        return type(step.module).__name__
    return repr(step.module)
