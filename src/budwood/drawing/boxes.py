"""From steps to boxes: a layer, together with the small steps that follow it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from torch import fx, nn
from torch.nn.modules.conv import _ConvNd

from budwood.drawing.labels import note_of, title_of
from budwood.drawing.steps import Place, Step, Steps
from budwood.surgery.operations import operation
from budwood.surgery.rows import State as State

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
    """Of what it gives; with that before the notes where these change it."""
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
    places: tuple[Place, ...]
    links: tuple[tuple[int, int], ...]
    members: tuple[tuple[Step, ...], ...]
    """The steps of each box; none for one that shows what the network gives back."""


def boxes_of(steps: Steps, apart: Collection[Step] = ()) -> Boxes:
    """The boxes that show these steps, and links between them.

    A note joins the box before it if nothing else uses that box's value. Parameters make an
    exception: a normalisation cannot join the sign of an addition.

    Args:
        steps: What `steps_of` found.
        apart: Notes that must have boxes of their own.
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
    places = [group[0].place for group in groups]
    for name, step in steps.outputs:
        links[number[step], len(boxes)] = None
        boxes.append(Box("output", name or "output", shape=step.shape, about=name or "output"))
        places.append(())
        groups.append([])
    return Boxes(tuple(boxes), tuple(places), tuple(links), tuple(map(tuple, groups)))


def _grouped(steps: Steps, apart: Collection[Step]) -> list[list[Step]]:
    uses = Counter(source for step in steps.steps for source in step.sources)
    uses.update(step for _, step in steps.outputs)
    groups: dict[Step, list[Step]] = {}
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


def _may_follow(first: Step, step: Step) -> bool:
    is_bare = first.module is None and len(first.sources) != 1  # a photo, or a sign
    return note_of(step) is not None and not (is_bare and (step.parameters or not first.sources))


def _box(steps: list[Step], counted: set[int]) -> Box:
    first, *others = steps
    kind = _kind(first)
    used = {name: p for step in steps for name, p in step.parameters.items()}
    new = [p for p in used.values() if id(p) not in counted]
    counted.update(map(id, new))
    size = sum(parameter.numel() for parameter in {id(p): p for p in new}.values())
    state = _state(list(used.values()))
    notes = [note for step in others if (note := note_of(step))]
    last = steps[-1].shape
    return Box(
        kind=kind,
        title="input" if kind == "input" else title_of(first),
        name=first.path,
        notes=tuple(dict.fromkeys(notes)),
        shape=last if first.shape == last or note_of(first) else f"{first.shape} to {last}",
        parameters=size,
        state=state,
        is_pointwise=isinstance(first.module, _ConvNd) and max(first.module.kernel_size) == 1,
        about="; ".join(_about(steps, size, state)),
        settings=tuple(map(_settings, steps)),
    )


def _kind(step: Step) -> Kind:
    if step.node.op == "placeholder":
        return "input"
    return "join" if step.module is None and len(step.sources) > 1 else "layer"


def _state(parameters: list[nn.Parameter]) -> State:
    trains = {parameter.requires_grad for parameter in parameters}
    if len(trains) == 2:
        return "partly"
    return "-" if not trains else "trainable" if True in trains else "frozen"


def _about(steps: list[Step], size: int, state: State) -> list[str]:
    said = [_said(step) for step in steps]
    if state != "-":
        said.append(f"{size:,} parameters, {state}" if size else f"shared parameters, {state}")
    return said


def _said(step: Step) -> str:
    if step.module is not None:
        return f"{step.path}: {operation(step.module)}"
    names = ", ".join(step.parameters)
    return f"{step.function} with {names}" if names else step.function or "the photo"


def _settings(step: Step) -> str:
    if step.module is None:
        given = fx.node.map_arg((step.node.args, step.node.kwargs), lambda node: "a value")
        return f"{step.function} {given}"
    # The rate of stochastic depth grows from block to block; they are the same all the same.
    if note_of(step) == "stochastic depth":
        return type(step.module).__name__
    return repr(step.module)
