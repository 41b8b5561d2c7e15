"""Tables of ResNet: its stages, where the stride is, and its shortcuts."""

from typing import Any

from torch import nn

from budwood.classics.resnet import BLOCKS
from budwood.inspection.summary import LayerRow
from budwood.text import short
from network_docs import published
from network_docs.layers import Table, network, percent, shape, summary


def stages() -> Table:
    """ResNet's table 1: the blocks of each stage, by depth."""
    tops: list[Any] = [network(f"resnet{depth}_2015") for depth in BLOCKS]
    sizes = {row.name: row.output for row in summary("resnet18_2015").rows}
    rows = []
    for number in range(1, 5):
        name = f"layer{number}"
        cells = (_blocks(top.get_submodule(name)) for top in tops)
        rows.append((f"`{name}`", _side(sizes[name]), *cells))
    kernels = (_kernel(top.get_submodule("conv1")) for top in tops)
    ends = (f"{top.fc.in_features} × {top.fc.out_features}" for top in tops)
    first, last = ("`conv1`", _side(sizes["conv1"]), *kernels), ("`fc`", "1×1", *ends)
    return [("stage", "output size", *(f"{d} layers" for d in BLOCKS)), first, *rows, last]


def _blocks(stage: nn.Module) -> str:
    first = next(stage.children())
    layers = [layer for layer in first.children() if isinstance(layer, nn.Conv2d)]
    return f"[{'<br>'.join(map(_kernel, layers))}] × {len(list(stage.children()))}"


def _kernel(layer: nn.Conv2d) -> str:
    return f"{layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.out_channels}"


def _side(output: tuple[int, ...] | None) -> str:
    assert output is not None
    return "×".join(map(str, output[2:]))


def strides() -> Table:
    """The first block of a stage, with the stride in the 1x1 as published and in the 3x3 (v1.5)."""
    head = (
        "layer",
        "operation",
        "2015: output shape",
        "2015: multiply-adds",
        "v1.5: output shape",
        "v1.5: multiply-adds",
    )
    old, new = (_convolutions(name) for name in ("resnet50_2015", "resnet50_v15"))
    rows = [
        (
            f"`{a.name}`",
            a.operation.split(", stride")[0],
            shape(a.output),
            short(a.macs),
            shape(b.output),
            short(b.macs),
        )
        for a, b in zip(old, new, strict=True)
    ]
    sums = (short(sum(row.macs for row in found)) for found in (old, new))
    return [head, *rows, ("total", "", "", next(sums), "", next(sums))]


def _convolutions(name: str) -> list[LayerRow]:
    leaves = summary(name).leaves
    return [row for row in leaves if row.name.startswith("layer2.0.") and row.type == "Conv2d"]


def depths() -> Table:
    """Parameters and multiply-adds of ResNet by depth, with both placements of the stride."""
    head = (
        "layers",
        "parameters",
        "2015: multiply-adds",
        "paper (G)",
        "v1.5: multiply-adds",
        "torchvision (G)",
        "more",
    )
    rows = []
    for depth in BLOCKS:
        old = summary(f"resnet{depth}_2015")
        newer: tuple[str, ...] = ("-", "-", "-")
        if depth in published.RESNET_V15:
            macs = summary(f"resnet{depth}_v15").macs
            newer = (short(macs), str(published.RESNET_V15[depth]), percent(macs / old.macs - 1))
        paper = str(published.RESNET[depth])
        rows.append((str(depth), f"{old.parameters:,}", short(old.macs), paper, *newer))
    return [head, *rows]


def twins() -> Table:
    """Shortcuts of each ResNet and the parameters they add to the plain network of its depth."""
    head = (
        "layers",
        "identity shortcuts",
        "projection shortcuts",
        "plain: parameters",
        "residual: parameters",
        "plain: top-1 error",
        "residual: top-1 error",
    )
    rows = []
    for depth in BLOCKS:
        plain, residual = network(f"plain{depth}"), network(f"resnet{depth}_2015")
        ways = [m for name, m in residual.named_modules() if name.endswith(".downsample")]
        identities = sum(isinstance(way, nn.Identity) for way in ways)
        counts = (sum(p.numel() for p in each.parameters()) for each in (plain, residual))
        errors = [f"{error} %" for error in published.RESNET_ERRORS.get(depth, ())] or ["-", "-"]
        shortcuts = (str(identities), str(len(ways) - identities))
        rows.append((str(depth), *shortcuts, *(f"{count:,}" for count in counts), *errors))
    return [head, *rows]
