"""What a network is made of: layer by layer, its shapes, sizes, cost and what of it is frozen."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from budwood.errors import ConfigError
from budwood.surgery import rendering
from budwood.surgery.dryrun import dry_run
from budwood.surgery.rows import Row as Row
from budwood.surgery.rows import Shape as Shape
from budwood.surgery.rows import rows_of


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

    @property
    def totals(self) -> str:
        """What the rows come to, in three lines."""
        return (
            f"{self.type}: {rendering.shape_text(self.input)} to "
            f"{rendering.shape_text(self.output)}\n"
            f"parameters: {self.parameters:,}, of these trainable {self.trainable:,} "
            f"({100 * self.trainable_share:.2f} %)\n"
            f"multiply-adds: {rendering.short(self.macs)}"
        )

    def formulas(self, width: int | None = None) -> str:
        """The leaves as a textbook prints them: operation, sizes and parameters with arithmetic.

        A leaf that neither runs nor holds parameters is left out.

        Args:
            width: Columns of the terminal. If the table is wider, each layer takes a few lines
                instead; nothing is cut off.

        Example:
            >>> net = nn.Sequential(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU())
            >>> print(summarize(net, (3, 227, 227)).formulas(width=80))
            0 (trainable)
                11x11 convolution, 96 channels, stride 4
                1x3x227x227 to 1x96x55x55
                size: (227-11)/4+1 = 55
                parameters: 96×3×11×11+96 = 34944
            1
                ReLU
                1x96x55x55 to 1x96x55x55
            <BLANKLINE>
            Sequential: 1x3x227x227 to 1x96x55x55
            parameters: 34,944, of these trainable 34,944 (100.00 %)
            multiply-adds: 105.42 M
        """
        rows = [row for row in self.leaves if row.output or row.parameters or row.macs]
        return f"{rendering.formulas(rows, width)}\n\n{self.totals}"

    def to_markdown(self) -> str:
        """Every field of every row as a Markdown table, and the totals."""
        totals = "\n".join(f"- {line}" for line in self.totals.splitlines())
        return f"{rendering.markdown(self.rows)}\n\n{totals}"

    def to_csv(self) -> str:
        """Every field of every row as comma-separated values; the head names the fields."""
        return rendering.csv(self.rows)

    def to_json(self) -> dict[str, object]:
        """The summary as the object that `--json` prints."""
        return {
            "type": self.type,
            "input": list(self.input),
            "output": self.output and list(self.output),
            "parameters": {
                "total": self.parameters,
                "trainable": self.trainable,
                "trainable_percent": round(100 * self.trainable_share, 2),
            },
            "macs": self.macs,
            "layers": [
                {
                    **asdict(row),
                    "input": row.input and list(row.input),
                    "output": row.output and list(row.output),
                }
                for row in self.rows
            ],
        }

    def __str__(self) -> str:
        return f"{rendering.tree(self.rows)}\n\n{self.totals}"

    def _repr_html_(self) -> str:
        return rendering.html(self.rows, self.totals)


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
    shape = (batch, *(input or _usual_input(network)))
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
