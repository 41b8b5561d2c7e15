"""Tables of EfficientNet: the baseline, what growing costs, and the published sizes."""

import torch

from budwood.classics.efficientnet import EfficientNet
from budwood.classics.scaling import BASELINE, PUBLISHED, count_parameters, phis, scale_by
from budwood.course.costs import scaling_costs
from budwood.inspection.summarizing import summarize
from budwood.inspection.summary import LayerRow
from budwood.text import short
from network_docs import published
from network_docs.layers import Table, summary


def baseline() -> Table:
    """EfficientNet-B0 stage by stage, as the paper's table 1 has it."""
    head = (
        "stage",
        "name",
        "operation",
        "input size",
        "channels",
        "blocks",
        "parameters",
        "multiply-adds",
    )
    whole = summary("efficientnet_b0_2019")
    found = {row.name: row for row in whole.rows}
    rows = [_stage("1", "3x3 convolution", 1, found["conv_stem"], found["bn1"])]
    for number, stage in enumerate(BASELINE):
        kind = f"MBConv{stage.expansion}, {stage.kernel}x{stage.kernel}"
        rows.append(_stage(str(number + 2), kind, stage.blocks, found[f"blocks.{number}"]))
    rows.append(_stage("9", "1x1 convolution", 1, found["conv_head"], found["bn2"]))
    rows.append(_stage("9", "linear", 1, found["classifier"]))
    total = ("total", "", "", "", "", "", f"{whole.parameters:,}", short(whole.macs))
    return [head, *rows, total]


def _stage(number: str, kind: str, blocks: int, row: LayerRow, *norm: LayerRow) -> tuple[str, ...]:
    assert row.input is not None
    assert row.output is not None
    # The padding before the stem belongs to it: the paper counts the photo's own pixels.
    side = 224 if row.name == "conv_stem" else (row.input[2:] or (1,))[0]
    parameters = sum(each.parameters for each in (row, *norm))
    size = (f"{side}×{side}", str(row.output[1]), str(blocks))
    return (number, f"`{row.name}`", kind, *size, f"{parameters:,}", short(row.macs))


def scaling(phi: str) -> Table:
    """What it costs to grow B0 by `phi` in width, depth and resolution alone, and in all three."""
    rows = scaling_costs(float(phi)).rows
    cells = [
        (
            row.variant.replace(" x ", " × "),
            f"{row.parameters:,}",
            f"× {row.parameters / rows[0].parameters:.2f}",
            short(row.macs),
            f"× {row.macs / rows[0].macs:.2f}",
        )
        for row in rows
    ]
    return [("network", "parameters", "against B0", "multiply-adds", "against B0"), *cells]


def grown(*steps: str) -> Table:
    """Networks of the rule: each step of phi should double the multiply-adds."""
    head = (
        "phi",
        "width",
        "depth",
        "resolution",
        "parameters",
        "multiply-adds",
        "against B0",
        "2 to the phi",
    )
    base = summary("efficientnet_b0_2019").macs
    rows = []
    for step in steps:
        phi = float(step)
        scale = scale_by(phi)
        with torch.device("meta"):
            network = EfficientNet(scale)
        macs = summarize(network, (3, scale.resolution, scale.resolution)).macs
        sizes = (f"{scale.width:.2f}", f"{scale.depth:.2f}", str(scale.resolution))
        costs = (f"{count_parameters(scale):,}", short(macs), f"× {macs / base:.2f}")
        rows.append((step, *sizes, *costs, f"{2**phi:.2f}"))
    return [head, *rows]


def phi_table() -> Table:
    """The phi by which each published network is wider, deeper and finer than B0."""
    head = ("network", "width", "phi", "depth", "phi", "resolution", "phi", "dropout")
    rows = []
    for name, scale in PUBLISHED.items():
        width, depth, resolution = (f"{phi:.1f}" for phi in phis(scale))
        cells = (f"{scale.width}", width, f"{scale.depth}", depth, f"{scale.resolution}")
        rows.append((name.upper(), *cells, resolution, f"{scale.dropout}"))
    return [head, *rows]


def sizes() -> Table:
    """Parameters and multiply-adds of the published networks; a dagger where B2 was misprinted."""
    head = (
        "network",
        "name",
        "input size",
        "parameters",
        "paper (M)",
        "multiply-adds",
        "paper (G)",
    )
    rows = []
    for size, scale in PUBLISHED.items():
        whole = summary(f"efficientnet_{size}_2019")
        assert whole.parameters == count_parameters(scale)
        side = f"{scale.resolution}×{scale.resolution}"
        parameters, macs = published.EFFICIENTNET.get(size, ("-", "-"))
        dagger = " †" if _is_misprint(parameters, whole.parameters / 1e6) else ""
        costs = (f"{whole.parameters:,}", f"{parameters}{dagger}", short(whole.macs), str(macs))
        rows.append((size.upper(), f"`efficientnet_{size}_2019`", side, *costs))
    return [head, *rows]


def _is_misprint(printed: float | str, ours: float) -> bool:
    """Whether rounding does not explain a printed figure."""
    if isinstance(printed, str):
        return False
    digit = 0.1 if isinstance(printed, float) else 1
    return abs(printed - ours) > digit / 2
