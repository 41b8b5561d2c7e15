"""The rows of a summary from the tree of a network: one for each layer and block, in its order."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from budwood.surgery.dryrun import Visit
from budwood.surgery.formulas import flattening_formula, parameters_formula, size_formula
from budwood.surgery.operations import operation
from budwood.surgery.rows import Row, State


def rows_of(network: nn.Module, visits: Mapping[str, Visit]) -> list[Row]:
    """A row for the network, called `""` and of depth 0, then one for each thing in it.

    What is shared is counted where it comes first.

    Args:
        network: Any network.
        visits: What `dry_run` found.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        >>> [row.operation for row in rows_of(net, {})]
        ['', '3x3 convolution, 8 channels, stride 1', 'ReLU']
    """
    return _Tree(visits).rows(network, "", 0)


class _Tree:
    """Walks through a tree of modules and remembers what it has counted."""

    def __init__(self, visits: Mapping[str, Visit]) -> None:
        self._visits = visits
        self._counted: set[int] = set()

    def rows(self, module: nn.Module, name: str, depth: int) -> list[Row]:
        """The module's row, followed by those of all that is in it."""
        self._counted.add(id(module))
        own = self._own(module, name, depth)
        parts, below = [own], _beside(own)
        for key, child in module.named_children():
            if id(child) not in self._counted:
                child_name = f"{name}.{key}".lstrip(".")
                block = self.rows(child, child_name, depth + 1)
                parts.append(block[0])
                below += [*self._flattening(child_name, own), *block]
        if len(parts) == 1:
            return [own]
        whole = replace(
            own,
            operation="",
            size_formula=None,
            parameters=sum(part.parameters for part in parts),
            trainable=sum(part.trainable for part in parts),
            parameters_formula=None,
            macs=sum(part.macs for part in parts),
            state=_state(list(module.parameters())),
        )
        return [whole, *below]

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
            input=visit.input,
            operation=operation(module),
            output=visit.output,
            size_formula=size_formula(module, visit.input, visit.output),
            parameters=sum(parameter.numel() for parameter in new),
            trainable=sum(parameter.numel() for parameter in new if parameter.requires_grad),
            parameters_formula=parameters_formula(module, new),
            macs=visit.macs,
            state=_state(held),
            receptive_field=visit.receptive_field,
        )

    def _flattening(self, name: str, block: Row) -> list[Row]:
        """The row of the flattening that a block's code does before it calls this layer."""
        visit = self._visits.get(name, Visit())
        if visit.flattened is None or visit.input is None:
            return []
        flattening = Row(
            name=f"{block.name}.(flatten)".lstrip("."),
            type="flatten",
            depth=block.depth + 1,
            input=visit.flattened,
            operation="flatten",
            output=visit.input,
            size_formula=flattening_formula(visit.flattened[1:], visit.input[1]),
            parameters=0,
            trainable=0,
            parameters_formula=None,
            macs=0,
            state="-",
            receptive_field=None,
        )
        return [flattening]


def _beside(own: Row) -> list[Row]:
    """The row of what a block has beside its layers, if that is anything."""
    if not (own.parameters or own.macs):
        return []
    return [
        replace(
            own,
            name=f"{own.name}.(own)".lstrip("."),
            depth=own.depth + 1,
            input=None,
            output=None,
            size_formula=None,
            receptive_field=None,
        )
    ]


def _state(parameters: list[nn.Parameter]) -> State:
    trains = {parameter.requires_grad for parameter in parameters}
    if len(trains) == 2:
        return "partly"
    return "-" if not trains else "trainable" if True in trains else "frozen"
