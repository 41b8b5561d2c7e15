"""Tables of LeNet, AlexNet and VGG."""

import torch
from torch import nn

from budwood.classics.lenet import S2_READ_BY_C3
from budwood.classics.vgg import CONFIGURATIONS
from budwood.inspection.summarizing import summarize
from budwood.models.classics_source import CLASSICS
from network_docs import published
from network_docs.layers import Table, compared, summary


def lenet_parameters() -> Table:
    """LeNet-5 layer by layer: the paper's text, the network of 1998 and today's."""
    return compared(published.LENET, "paper", "lenet5_1998", "lenet5")


def alexnet_parameters() -> Table:
    """AlexNet layer by layer: the course's table, one tower and two."""
    return compared(published.ALEXNET_COURSE, "course", "alexnet_course", "alexnet_2012")


def sparse() -> Table:
    """LeNet's C3: which maps of S2 each of its maps reads."""
    head = ("map of S2", *map(str, range(len(S2_READ_BY_C3))), "read by")
    rows = []
    for number in range(6):
        marks = ["X" if number in read else "" for read in S2_READ_BY_C3]
        rows.append((str(number), *marks, str(marks.count("X"))))
    read = [len(read) for read in S2_READ_BY_C3]
    parameters = [25 * maps + 1 for maps in read]
    return [
        head,
        *rows,
        ("parameters", *map(str, parameters), f"{sum(parameters):,}"),
    ]


def configurations() -> Table:
    """VGG's six networks, block by block."""
    head = ("maps", *(letter.upper().replace("_", "-") for letter in CONFIGURATIONS))
    blocks = zip(*(config.split("|") for config in CONFIGURATIONS.values()), strict=True)
    sides = (f"{224 // 2**number}×{224 // 2**number}" for number in range(5))
    cells = [
        (side, *("<br>".join(map(_vgg_layer, block.split())) for block in row))
        for side, row in zip(sides, blocks, strict=True)
    ]
    summaries = [summary(f"vgg_{letter}") for letter in CONFIGURATIONS]
    layers = [
        sum(row.type in ("Conv2d", "Linear") for row in each.leaves if row.parameters)
        for each in summaries
    ]
    donors = [CLASSICS[f"vgg_{letter}"].same_as for letter in CONFIGURATIONS]
    return [
        head,
        *cells,
        ("layers with weights", *map(str, layers)),
        ("name", *(f"`vgg_{letter}`" for letter in CONFIGURATIONS)),
        ("weights of", *(f"`{donor.split('/')[1]}`" if donor else "-" for donor in donors)),
    ]


def _vgg_layer(written: str) -> str:
    maps, _, kernel = written.partition("/")
    return "LRN" if written == "lrn" else f"conv{kernel or 3}-{maps}"


def kernels() -> Table:
    """Small kernels in a row and one large kernel that sees as much, with 512 maps throughout."""
    head = ("convolutions", "receptive field", "parameters", "ReLUs")
    rows = []
    for stack in ((3, 3), (5,), (3, 3, 3), (7,)):
        whole = summarize(_stack(stack), (512, 32, 32))
        field = whole.rows[-1].receptive_field
        kind = f"{stack[0]}x{stack[0]} convolution"
        rows.append(
            (f"{len(stack)} × {kind}", f"{field}×{field}", f"{whole.parameters:,}", str(len(stack)))
        )
    return [head, *rows]


def _stack(kernels: tuple[int, ...]) -> nn.Module:
    with torch.device("meta"):
        layers = [(nn.Conv2d(512, 512, size, padding=size // 2), nn.ReLU()) for size in kernels]
    return nn.Sequential(*(layer for pair in layers for layer in pair))
