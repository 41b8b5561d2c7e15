"""A row of a summary, one layer or block of a network, as plain data; never imports torch."""

from dataclasses import dataclass
from typing import Literal

from budwood.display import displayed

Shape = tuple[int, ...]
State = Literal["frozen", "trainable", "partly", "-"]


@displayed
@dataclass(frozen=True)
class Row:
    """One layer, or a block with all that is in it."""

    name: str
    """As `freeze` takes it. At the end `(own)`: what a block does and holds beside its layers;
    `(flatten)`: where its code flattens maps without a layer for it."""
    type: str
    depth: int
    input: Shape | None
    """Shape of the first tensor that its first call was given; None if it did not run."""
    operation: str
    """What it does, in words with its settings; nothing for a block."""
    output: Shape | None
    """Shape of the first tensor of its first call; None if it did not run."""
    size_formula: str | None
    """How the size of the output follows from the input's; None where it stays as it is."""
    parameters: int
    """Those that no row above has counted already."""
    trainable: int
    parameters_formula: str | None
    """How `parameters` come about; None for a block, and without any."""
    macs: int
    """Multiply-adds of convolutions, linear layers and matrix products."""
    state: State
    receptive_field: int | None
    """Pixels of the image (the longer side) that one value of the output can depend on."""
