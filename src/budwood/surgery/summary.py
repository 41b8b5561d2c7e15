"""What a network is made of: layer by layer, its shapes, sizes, cost and what of it is frozen."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from torch import nn
from torch.nn.parameter import is_lazy

from budwood.errors import ConfigError
from budwood.surgery.dryrun import Visit, dry_run
from budwood.surgery.tables import aligned

Shape = tuple[int, ...]
State = Literal["frozen", "trainable", "partly", "-"]


@dataclass(frozen=True)
class Row:
    """One layer, or a block with all that is in it."""

    name: str
    """As `freeze` takes it; `(own)` at the end: what a block does and holds beside its layers."""
    type: str
    depth: int
    output: Shape | None
    """Shape of the first tensor of its first call; None if it did not run."""
    parameters: int
    """Those that no row above has counted already."""
    trainable: int
    macs: int
    """Multiply-adds of convolutions, linear layers and matrix products."""
    state: State
    receptive_field: int | None
    """Pixels of the image (the longer side) that one value of the output can depend on."""


@dataclass(frozen=True)
class Summary:
    """A network's layers and their totals; printed, it is a table."""

    type: str
    input: Shape
    """Batch, channels, height and width."""
    output: Shape | None
    parameters: int
    trainable: int
    macs: int
    """For the whole batch."""
    rows: tuple[Row, ...]

    @property
    def trainable_share(self) -> float:
        """The part of all parameters that training may change."""
        return self.trainable / self.parameters if self.parameters else 0.0

    @property
    def leaves(self) -> tuple[Row, ...]:
        """The rows with no row of theirs below; these add up to the totals, at any depth."""
        depths = [row.depth for row in self.rows[1:]] + [0]
        pairs = zip(self.rows, depths, strict=True)
        return tuple(row for row, depth_below in pairs if depth_below <= row.depth)

    def to_json(self) -> dict[str, object]:
        """The summary as the object that `--json` prints."""
        return {
            "type": self.type,
            "input": list(self.input),
            "output": self.output and list(self.output),
            "parameters": {"total": self.parameters, "trainable": self.trainable},
            "macs": self.macs,
            "layers": [
                {**asdict(row), "output": row.output and list(row.output)} for row in self.rows
            ],
        }

    def __str__(self) -> str:
        head = ("layer", "type", "state", "output", "parameters", "multiply-adds", "field")
        table = aligned([head, *map(_cells, self.rows)], words=3)
        return (
            f"{table}\n\n"
            f"{self.type}: {_shape(self.input)} to {_shape(self.output)}\n"
            f"parameters: {self.parameters:,}, of these trainable {self.trainable:,} "
            f"({100 * self.trainable_share:.1f} %)\n"
            f"multiply-adds: {_short(self.macs)}"
        )


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
        parameters: 370, of these trainable 370 (100.0 %)
        multiply-adds: 2.09 k
    """
    shape = (batch, *(input or _usual_input(network)))
    _check(network, shape, depth)
    visits = dry_run(network, shape)
    whole, *rows = _Tree(visits).rows(network, "", 0)
    if not rows:
        rows = [replace(whole, name="(own)", depth=1)]
    return Summary(
        type=whole.type,
        input=shape,
        output=whole.output,
        parameters=whole.parameters,
        trainable=whole.trainable,
        macs=whole.macs,
        rows=tuple(row for row in rows if depth is None or row.depth <= depth),
    )


def _usual_input(network: nn.Module) -> tuple[int, int, int]:
    preprocessing: Any = getattr(network, "preprocessing", None)
    if preprocessing is None:
        return 3, 224, 224
    height, width = preprocessing.size
    return len(preprocessing.mean), height, width


def _check(network: nn.Module, shape: Shape, depth: int | None) -> None:
    if len(shape) != 4 or min(shape) < 1:
        raise ConfigError(
            f"An input of {shape[1:]} in a batch of {shape[0]} is no batch of images.",
            expected="All sizes must be at least 1.",
            next="Give channels, height and width, such as --input 3,224,224.",
        )
    if depth is not None and depth < 1:
        raise ConfigError(f"depth is {depth}.", expected="--depth must be at least 1.")
    unknown = [name for name, parameter in network.named_parameters() if is_lazy(parameter)]
    if unknown:
        raise ConfigError(
            f"The size of {unknown[0]!r} is not known yet.",
            next="Run the network once on a real batch; that settles the size of lazy layers.",
        )


class _Tree:
    """Turns a tree of modules into rows, counting what is shared where it comes first."""

    def __init__(self, visits: dict[str, Visit]) -> None:
        self._visits = visits
        self._counted: set[int] = set()

    def rows(self, module: nn.Module, name: str, depth: int) -> list[Row]:
        """The module's row, followed by those of all that is in it."""
        self._counted.add(id(module))
        own = self._own(module, name, depth)
        blocks = [
            self.rows(child, f"{name}.{key}".lstrip("."), depth + 1)
            for key, child in module.named_children()
            if id(child) not in self._counted
        ]
        if not blocks:
            return [own]
        parts = [own, *(block[0] for block in blocks)]
        whole = replace(
            own,
            parameters=sum(part.parameters for part in parts),
            trainable=sum(part.trainable for part in parts),
            macs=sum(part.macs for part in parts),
            state=_state(list(module.parameters())),
        )
        return [whole, *_beside(own), *(row for block in blocks for row in block)]

    def _own(self, module: nn.Module, name: str, depth: int) -> Row:
        """A row of what the module holds and does itself, without its children."""
        held = list(module.parameters(recurse=False))
        new = [parameter for parameter in held if id(parameter) not in self._counted]
        self._counted.update(map(id, new))
        visit = self._visits.get(name, Visit())
        return Row(
            name=name,
            type=type(module).__name__,
            depth=depth,
            output=visit.output,
            parameters=sum(parameter.numel() for parameter in new),
            trainable=sum(parameter.numel() for parameter in new if parameter.requires_grad),
            macs=visit.macs,
            state=_state(held),
            receptive_field=visit.receptive_field,
        )


def _beside(own: Row) -> list[Row]:
    """The row of what a block has beside its layers, if that is anything."""
    if not (own.parameters or own.macs):
        return []
    name, depth = f"{own.name}.(own)".lstrip("."), own.depth + 1
    return [replace(own, name=name, depth=depth, output=None, receptive_field=None)]


def _state(parameters: list[nn.Parameter]) -> State:
    trains = {parameter.requires_grad for parameter in parameters}
    if len(trains) == 2:
        return "partly"
    return "-" if not trains else "trainable" if True in trains else "frozen"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.type,
        row.state,
        _shape(row.output),
        f"{row.parameters:,}" if row.parameters else "-",
        _short(row.macs) if row.macs else "-",
        str(row.receptive_field or "-"),
    )


def _shape(shape: Shape | None) -> str:
    return "x".join(map(str, shape)) if shape else "-"


def _short(number: int) -> str:
    """Three or four digits and a unit, such as 15.47 G."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return str(number)
