"""What a network is made of, layer by layer, as plain data that prints; never imports torch."""

from dataclasses import asdict, dataclass, replace

from budwood.display import displayed
from budwood.inspection import layer_rows as rendering
from budwood.inspection.layer_rows import LayerRow as LayerRow
from budwood.inspection.layer_rows import Shape as Shape
from budwood.text import short


@displayed
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
    rows: tuple[LayerRow, ...]

    @property
    def trainable_share(self) -> float:
        """The part of all parameters that training may change."""
        return self.trainable / self.parameters if self.parameters else 0.0

    @property
    def leaves(self) -> tuple[LayerRow, ...]:
        """The rows with no row of theirs below; these add up to the totals, at any depth."""
        depths = [row.depth for row in self.rows[1:]] + [0]
        pairs = zip(self.rows, depths, strict=True)
        return tuple(row for row, depth_below in pairs if depth_below <= row.depth)

    def to_depth(self, depth: int | None) -> "Summary":
        """The same with no rows nested deeper than this; all of them if None."""
        shown = (row for row in self.rows if depth is None or row.depth <= depth)
        return replace(self, rows=tuple(shown))

    @property
    def totals(self) -> str:
        """What the rows come to, in three lines."""
        return (
            f"{self.type}: {rendering.shape_text(self.input)} to "
            f"{rendering.shape_text(self.output)}\n"
            f"parameters: {self.parameters:,}, of these trainable {self.trainable:,} "
            f"({100 * self.trainable_share:.2f} %)\n"
            f"multiply-adds: {short(self.macs)}"
        )

    def formulas(self, width: int | None = None) -> str:
        """The leaves as a textbook prints them: operation, sizes and parameters with arithmetic.

        A leaf that neither runs nor holds parameters is left out.

        Example:
            >>> from torch import nn
            >>> from budwood import summarize
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
