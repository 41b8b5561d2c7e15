"""The plan of a graft: every layer with its place, its shapes and its name, before any is built."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from torch import nn
from torch.nn.parameter import is_lazy

from budwood.errors import ConfigError, CutError
from budwood.grafting.donors import Piece, take
from budwood.grafting.graft_recipes import DonorLayers
from budwood.grafting.joining import End, Socket, described, join, on_shapes
from budwood.grafting.new_layers import ENTERING, NewLayer
from budwood.images.preprocessing import Preprocessing
from budwood.inspection.summary import Shape
from budwood.models.building import build, rebuild
from budwood.models.downloads import Progress
from budwood.models.info import Origin, info

Layer = str | DonorLayers | NewLayer | nn.Module | Piece
Device = Literal["cpu", "meta"]

IMAGENET = Preprocessing(
    size=(224, 224),
    resize=256,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
"""For a graft without a donor: what most weights expect."""


@dataclass(frozen=True)
class Donor:
    """A piece of a network, not yet or already there."""

    name: str
    """As it was asked for: `resnet18.conv1..layer2`."""
    hollow: Piece
    """The piece on shapes alone, or the user's own."""
    layers: DonorLayers | None
    """None if the piece is from a network of the user's."""
    network: "_Network | None" = None

    @property
    def is_ours(self) -> bool:
        """True if its network was built for the graft, so that its layers need no copy."""
        return self.network is not None

    @property
    def is_frozen(self) -> bool:
        """True if it is to be frozen; a user's own piece stays as it is."""
        return self.layers is not None and self.layers.frozen

    @property
    def preprocessing(self) -> Preprocessing | None:
        return info(self.hollow.network).preprocessing

    @property
    def ends(self) -> tuple[str, str]:
        """Its first and its last layer with the network's name before it."""
        if self.layers is None:
            return self.hollow.first, self.hollow.last
        network = self.layers.network
        return f"{network}.{self.hollow.first}", f"{network}.{self.hollow.last}"

    def piece(self, device: Device, on_progress: Progress | None) -> Piece:
        """The piece with its weights."""
        if self.network is None or self.layers is None:
            return self.hollow
        built = self.network.built(device, on_progress)
        return take(built, self.layers.first, self.layers.last)

    def recorded(self) -> DonorLayers | None:
        """What makes it again; None for a piece of a network that was not built by name."""
        if self.layers is not None and self.network is not None:
            return replace(self.layers, origin=self.network.origin())
        origin = info(self.hollow.network).origin
        if origin is None or origin.graft is not None:
            return None
        return DonorLayers(
            network=origin.architecture,
            first=self.hollow.first,
            last=self.hollow.last,
            weights=origin.weights,
            frozen=False,
            origin=origin,
        )


@dataclass(frozen=True)
class GraftStep:
    """A layer, or a piece of a donor, in its place."""

    path: str
    """What it is called in the graft; of a piece of many layers, the module that holds them."""
    layer: NewLayer | nn.Module | None
    donor: Donor | None
    entering: int
    """Channels or features that enter it."""
    gives: Shape
    fed_by: str
    """What comes before it."""
    is_adapter: bool = False

    @property
    def names(self) -> dict[str, str]:
        """What the paths of a piece are called in the graft."""
        paths = self.donor.hollow.paths if self.donor else ()
        if len(paths) == 1:
            return {paths[0]: self.path}
        return {path: f"{self.path}.{path}" for path in paths}


@dataclass
class GraftPlan:
    """All steps of a graft, and what is to be said of them."""

    image: tuple[int, int, int]
    steps: list[GraftStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def planned(
    layers: Sequence[Layer],
    input: tuple[int, int, int] | None,
    classes: int | None,
    adapt: bool,
    weights: str | Path | None,
    seed: int,
) -> GraftPlan:
    """The plan of a graft; see `graft` for the arguments and errors."""
    if not layers:
        raise ConfigError("A graft of no layers.", next="Give it at least one.")
    parts = _with_donors(layers, weights, seed)
    first = next((part for part in parts if isinstance(part, Donor)), None)
    plan = GraftPlan(input or _image_shape(None if first is None else first.preprocessing))
    names = _Names()
    end = End("the photo", plan.image)
    for part in parts:
        socket, path, last = _placed(part, end, classes, names)
        joint = join(end, socket, adapt)
        shapes = *joint.entering, joint.gives
        added = [names.of("adapter") for _ in joint.adapters]
        for name, adapter, (shape, *_), gives in zip(
            added, joint.adapters, shapes, shapes[1:], strict=False
        ):
            plan.steps.append(GraftStep(name, adapter, None, shape, gives, end.name, True))
        if added:
            plan.notes.append(
                f"{end.name} gives {end.size} and {socket.name} takes {_size(socket.wants)}: "
                f"{', '.join(added)} is {described(joint)}."
            )
        layer, donor = (None, part) if isinstance(part, Donor) else (part, None)
        entering = joint.entering[-1][0]
        plan.steps.append(GraftStep(path, layer, donor, entering, joint.gives, end.name))
        end = End(last, joint.gives)
    _require_answers(end, classes)
    return plan


def _image_shape(preprocessing: Preprocessing | None) -> tuple[int, int, int]:
    """Channels, height and width that photos have for a donor."""
    chosen = preprocessing or IMAGENET
    return len(chosen.mean), *chosen.size


def _with_donors(
    layers: Sequence[Layer], weights: str | Path | None, seed: int
) -> list[Donor | NewLayer | nn.Module]:
    parsed = [DonorLayers.named(each) if isinstance(each, str) else each for each in layers]
    networks: dict[tuple[str, str], _Network] = {}
    asked = {part.network for part in parsed if isinstance(part, DonorLayers)}
    if weights not in (None, "none", "imagenet") and len(asked) != 1:
        raise ConfigError(
            f"The weights {weights} are for one network, and this graft has {len(asked)} donors.",
            next="Write `weights` beside each donor in the recipe.",
        )
    parts: list[Donor | NewLayer | nn.Module] = []
    for part in parsed:
        if isinstance(part, DonorLayers):
            chosen = part if weights is None else replace(part, weights=str(weights))
            network = networks.setdefault(
                (chosen.network, chosen.weights),
                _Network(chosen.network, chosen.weights, seed, chosen.origin),
            )
            hollow = take(network.built("meta", None), chosen.first, chosen.last)
            parts.append(Donor(str(part), hollow, chosen, network))
        elif isinstance(part, Piece):
            parts.append(Donor(f"{part.first}..{part.last}", part, None))
        else:
            _require_sized(part)
            parts.append(part)
    return parts


@dataclass
class _Network:
    """A donor that is built once, and only when its layers are needed."""

    name: str
    weights: str
    seed: int
    known: Origin | None
    """How it was built, if a saved graft is made again: then its weights do not matter."""
    kept: dict[Device, nn.Module] = field(default_factory=dict)

    def built(self, device: Device, on_progress: Progress | None) -> nn.Module:
        """The network; on the meta device only its structure."""
        if device not in self.kept and self.known is not None:
            self.kept[device] = rebuild(self.known)
        elif device not in self.kept:
            self.kept[device] = build(
                self.name,
                weights=self.weights,
                seed=self.seed,
                device=device,
                on_progress=on_progress,
            )
        return self.kept[device]

    def origin(self) -> Origin | None:
        """How the one with weights was built, if it was; else the one without."""
        return info(self.kept.get("cpu", self.kept["meta"])).origin


class _Names:
    """Gives out names in a graft, each once."""

    def __init__(self) -> None:
        self._layers: dict[str, int] = {}
        self._taken: dict[str, list[str]] = {}

    def of(self, kind: str) -> str:
        """`kind1`, `kind2` and so on."""
        self._layers[kind] = self._layers.get(kind, 0) + 1
        name = f"{kind}{self._layers[kind]}"
        return name if self._is_free(name) else self.of(kind)

    def given(self, name: str) -> str:
        if not name or "." in name or not self._is_free(name):
            raise ConfigError(
                f"A new layer cannot be called {name!r}: "
                f"{'it is taken' if name and '.' not in name else 'it needs a name without dots'}."
            )
        self._taken[name] = []
        return name

    def donor(self, network: str, paths: Sequence[str]) -> str:
        """A donor's only layer, or the module that holds its layers: another one if that holds
        one of them already."""
        alone = f"_{paths[0]}" if len(paths) == 1 else ""
        base = f"{network}{alone}".replace("/", "_").replace(".", "_")
        name, number = base, 1
        while any(_overlap(a, b) for a in self._taken.get(name, ()) for b in paths):
            number += 1
            name = f"{base}_{number}"
        self._taken.setdefault(name, []).extend(paths)
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self._taken


def _overlap(a: str, b: str) -> bool:
    return f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")


def _placed(
    part: Donor | NewLayer | nn.Module, end: End, classes: int | None, names: _Names
) -> tuple[Socket, str, str]:
    """How a part is fed, its path, and the name of its end."""
    if isinstance(part, Donor):
        first, last = part.ends
        module = on_shapes(part.hollow.module())
        wants = part.hollow.takes
        base = part.layers.network if part.layers else type(part.hollow.network).__name__.lower()
        path = names.donor(base, part.hollow.paths)
        return Socket(first, lambda _: module, wants, len(wants) == 1), path, last
    if isinstance(part, NewLayer):
        path = names.given(part.name) if part.name else names.of(_kind(part.type))
        return Socket.of(part, path, end.shape, classes), path, path
    path = names.of(_kind(type(part).__name__))
    entering = _entering(part)
    is_vector = isinstance(part, nn.Linear | nn.BatchNorm1d)
    made_for = None if entering is None else (entering, *(() if is_vector else end.shape[1:]))
    module = on_shapes(part)
    return Socket(path, lambda _: module, made_for, is_vector), path, path


def _kind(type_name: str) -> str:
    return type_name.removesuffix("1d").removesuffix("2d").lower()


def _entering(module: nn.Module) -> int | None:
    sizes = (getattr(module, option, None) for option in dict.fromkeys(ENTERING.values()))
    return next((size for size in sizes if isinstance(size, int)), None)


def _require_sized(module: NewLayer | nn.Module) -> None:
    if isinstance(module, nn.Module) and any(is_lazy(p) for p in module.parameters()):
        raise ConfigError(
            f"{type(module).__name__} has no size yet.",
            next=f"Use NewLayer(type={type(module).__name__.removeprefix('Lazy')!r}, ...), whose "
            "size is inferred.",
        )


def _require_answers(end: End, classes: int | None) -> None:
    if classes is not None and end.shape != (classes,):
        gives = f"{end.shape[0]} numbers" if len(end.shape) == 1 else f"maps of {end.size}"
        raise CutError(
            f"The graft ends in {end.name}, which gives {gives} a photo, and there are "
            f"{classes} classes.",
            next='End it with a Linear whose out_features = "classes".',
        )


def _size(shape: Shape | None) -> str:
    return "x".join(map(str, shape)) if shape else "a row of features"
