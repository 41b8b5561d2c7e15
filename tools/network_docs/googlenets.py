"""Tables of GoogLeNet: its modules beside the paper's, and what the 1x1 reductions save."""

import torch

from budwood.classics.googlenet import (
    WIDTHS,
    InceptionV1,
    InceptionV2,
    InceptionV3,
    NaiveInception,
    entering,
)
from budwood.course.costs import Cost, inception_costs
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import LayerRow, Summary
from budwood.text import short
from network_docs import published
from network_docs.layers import Table, network, percent, shape, summary


def modules() -> Table:
    """GoogLeNet block by block beside the paper's table 1; a dagger where arithmetic disagrees."""
    names = ("1x1", "3x3 reduce", "3x3", "5x5 reduce", "5x5", "pool proj")
    figures = ("parameters (K)", "paper (K)", "multiply-adds (M)", "paper (M)")
    rows = []
    for block, (parameters, macs) in published.GOOGLENET.items():
        members = _members(block)
        widths = vars(WIDTHS[block]).values() if block in WIDTHS else [""] * 6
        ours = sum(row.parameters for row in members) / 1024, sum(row.macs for row in members) / 1e6
        rows.append(
            (
                f"`{members[-1].name}`",
                shape(members[-1].output),
                *map(str, widths),
                f"{ours[0]:,.1f}",
                _printed(parameters, ours[0]),
                f"{ours[1]:,.1f}",
                _printed(macs, ours[1]),
            )
        )
    return [("block", "output shape", *names, *figures), *rows]


def _members(block: str) -> list[LayerRow]:
    """The rows of GoogLeNet that a row of the paper counts."""
    names = {"conv3": ("conv2", "conv3")}.get(block, (block, f"inception{block}"))
    return [row for row in summary("googlenet_2014").rows if row.depth == 1 and row.name in names]


def _printed(number: float, ours: float) -> str:
    """A printed figure, with a dagger if it is more than 2 % off."""
    is_wrong = abs(number - ours) > max(0.5, 0.02 * number)
    return f"{number:,}{' †' if is_wrong else ''}"


def naive() -> Table:
    """What GoogLeNet's 1x1 reductions save in each module, and in the whole network."""
    head = (
        "module",
        "maps read",
        "naive: parameters",
        "v1: parameters",
        "saved",
        "naive: multiply-adds",
        "v1: multiply-adds",
        "saved",
    )
    rows = []
    for position in WIDTHS:
        old, new = inception_costs(position).rows
        rows.append((f"{position}", str(entering(position)[0]), *_saved(old, new)))
    whole = _saved(summary("googlenet_naive"), summary("googlenet_2014"))
    return [head, *rows, ("whole network", "", *whole)]


def _saved(old: Cost | Summary, new: Cost | Summary) -> tuple[str, ...]:
    return (
        f"{old.parameters:,}",
        f"{new.parameters:,}",
        percent(1 - new.parameters / old.parameters),
        short(old.macs),
        short(new.macs),
        percent(1 - new.macs / old.macs),
    )


def growth() -> Table:
    """How many maps leave each module, with naive modules and with v1's."""
    rows = [("module", *WIDTHS)]
    for name in ("googlenet_naive", "googlenet_2014"):
        maps = [network(name).get_submodule(f"inception{each}").out_channels for each in WIDTHS]
        rows.append((f"`{name}`", *map(str, maps)))
    return rows


def versions() -> Table:
    """The Inception module in its four versions, at the widths and the place of 3a."""
    head = ("module", "maps given", "receptive field", "parameters", "multiply-adds")
    rows = []
    for module in (NaiveInception, InceptionV1, InceptionV2, InceptionV3):
        with torch.device("meta"):
            whole = summarize(module(192, WIDTHS["3a"]), (192, 28, 28))
        field = max(row.receptive_field or 0 for row in whole.rows)
        costs = (f"{whole.parameters:,}", short(whole.macs))
        assert whole.output is not None
        rows.append((f"`{module.__name__}`", str(whole.output[1]), f"{field}×{field}", *costs))
    return [head, *rows]
