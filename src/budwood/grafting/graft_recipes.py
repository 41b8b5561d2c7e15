"""What a graft is made of, as plain values: readable from TOML, kept in every capsule."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from budwood.display import displayed
from budwood.errors import BudwoodError, ConfigError, UnknownName
from budwood.fields import require_all, unknown_keys
from budwood.grafting.new_layers import NewLayer
from budwood.models.catalog import find
from budwood.models.info import Origin


@displayed
@dataclass(frozen=True, kw_only=True)
class DonorLayers:
    """A layer, or a range of layers, of a pretrained network.

    Example:
        >>> DonorLayers.named("resnet18.conv1..layer2").last
        'layer2'
    """

    network: str
    """As the catalogue calls it."""
    first: str
    """The path of the first layer; "" begins with the photo."""
    last: str
    """The path of the last layer; "" goes on to the output."""
    weights: str = "imagenet"
    frozen: bool = True
    origin: Origin | None = None
    """How the donor was built, once it was."""

    @classmethod
    def named(
        cls,
        layers: str,
        *,
        weights: str = "imagenet",
        frozen: bool = True,
        origin: Origin | None = None,
    ) -> "DonorLayers":
        """From `NETWORK.LAYER`, `NETWORK.FIRST..LAST`, or `NETWORK` for all of it.

        Raises:
            UnknownName: If no network is called so; the nearest is named.
        """
        network, path = _split(layers)
        first, dots, last = path.partition("..")
        return cls(
            network=network,
            first=first,
            last=last if dots else first,
            weights=weights,
            frozen=frozen,
            origin=origin,
        )

    def __str__(self) -> str:
        if self.first == self.last:
            return f"{self.network}.{self.first}" if self.first else self.network
        return f"{self.network}.{self.first}..{self.last}"


Part = DonorLayers | NewLayer


@displayed
@dataclass(frozen=True, kw_only=True)
class GraftRecipe:
    """Layers in order, and how they are joined.

    Example:
        >>> layers = [{"from": "vgg16.features.0..classifier.0"}, {"new": "Linear"}]
        >>> GraftRecipe.from_json({"layers": layers})
        Traceback (most recent call last):
        budwood.errors.ConfigError: layers[2]: Linear needs 'out_features'. ...
    """

    layers: tuple[Part, ...]
    input: tuple[int, int, int] | None = None
    """Channels, height and width of the photos; None: those of the donor that comes first."""
    adapt: bool = False
    """Whether layers that do not fit are joined by a new 1x1 convolution or a resize."""
    classes: int | None = None
    """How many classes "classes" stands for, until the photos say it."""

    def to_json(self) -> dict[str, Any]:
        """The recipe as plain JSON values, in the form of its TOML."""
        return {
            "input": self.input and list(self.input),
            "adapt": self.adapt,
            "classes": self.classes,
            "layers": [_written(part) for part in self.layers],
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "GraftRecipe":
        """What `to_json` gave, or the `[graft]` table of a recipe."""
        require_all(unknown_keys(table, ("layers", "input", "adapt", "classes"), "graft"))
        layers = table.get("layers")
        if not isinstance(layers, list) or not layers:
            raise ConfigError("A graft needs `layers`, a list with one table or name a layer.")
        return cls(
            layers=tuple(_numbered(layers)),
            input=_input(table.get("input")),
            adapt=_flag(table.get("adapt", False), "adapt"),
            classes=_count(table.get("classes")),
        )


def _numbered(layers: Sequence[Any]) -> Iterator[Part]:
    for number, entry in enumerate(layers, 1):
        try:
            yield _part(entry)
        except BudwoodError as error:
            error.problem = f"layers[{number}]: {error.problem}"
            raise


def _part(entry: Any) -> Part:
    if isinstance(entry, str):
        return DonorLayers.named(entry)
    if not isinstance(entry, Mapping) or ("from" in entry) == ("new" in entry):
        raise ConfigError(
            f"{entry!r} is no layer of a graft.",
            expected='It must be { from = "NETWORK.LAYER" } or { new = "Conv2d", ... }.',
        )
    if "new" in entry:
        ours = ("new", "name", "frozen")
        return NewLayer(
            type=str(entry["new"]),
            options={key: value for key, value in entry.items() if key not in ours},
            name=entry.get("name"),
            frozen=_flag(entry.get("frozen", False), "frozen"),
        )
    require_all(unknown_keys(entry, ("from", "weights", "frozen", "origin"), "A layer of a donor"))
    origin = entry.get("origin")
    return DonorLayers.named(
        str(entry["from"]),
        weights=str(entry.get("weights", "imagenet")),
        frozen=_flag(entry.get("frozen", True), "frozen"),
        origin=None if origin is None else Origin.from_json(origin),
    )


def _written(part: Part) -> dict[str, Any]:
    if isinstance(part, NewLayer):
        named = {} if part.name is None else {"name": part.name}
        return {"new": part.type, **named, "frozen": part.frozen, **part.options}
    origin = {} if part.origin is None else {"origin": part.origin.to_json()}
    return {"from": str(part), "weights": part.weights, "frozen": part.frozen, **origin}


def _split(layers: str) -> tuple[str, str]:
    """The network and the path in it; a name of the catalogue may have dots itself."""
    ends = [i for i, sign in enumerate(layers) if sign == "."] + [len(layers)]
    for end in reversed(ends):
        try:
            return find(layers[:end]).name, layers[end + 1 :]
        except UnknownName:
            continue
    network = find(layers.split(".")[0])  # raises, and names the nearest
    return network.name, ""


def _input(value: Any) -> tuple[int, int, int] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list | tuple)
        or len(value) != 3
        or not all(isinstance(size, int) and size > 0 for size in value)
    ):
        raise ConfigError(
            f"input is {value!r}.", expected="It must be channels, height and width: [3, 224, 224]."
        )
    channels, height, width = value
    return channels, height, width


def _flag(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}.", expected="It must be true or false.")
    return value


def _count(value: Any) -> int | None:
    if value is not None and (not isinstance(value, int) or value < 1):
        raise ConfigError(f"classes is {value!r}.", expected="It must be a number of at least 1.")
    return value
