"""What is a shortcut and of which kind, and what runs beside the main path."""

from collections import Counter

import pytest
import torch
from torch import nn

from budwood.drawing.blocks import ENTRY, EXIT, BlockFrame, folded
from budwood.drawing.boxes import Box
from budwood.drawing.network_drawing import blocks_in
from budwood.drawing.shortcuts import paths_of
from budwood.models.building import build

COUNTED = [
    ("resnet18", 5, 3),
    ("resnet50", 12, 4),
    ("resnet152", 46, 4),
    ("timm:resnet50d", 12, 4),  # an average pooling before the 1x1
    ("efficientnet_b0", 9, 0),
    ("vit_b_16", 24, 0),
    ("googlenet", 0, 0),
    ("vgg16", 0, 0),
]


def count_shortcuts(block):
    """How many shortcuts of each kind; what is drawn once for many counts as often as it is."""
    found = Counter()
    for side in paths_of(block).sides:
        if side.style != "plain":
            found[side.style] += len(side.targets)
    for part in block.parts:
        if isinstance(part, BlockFrame):
            for style, number in count_shortcuts(part).items():
                found[style] += part.times * number
    return found


@pytest.mark.parametrize(("name", "identities", "projections"), COUNTED)
@pytest.mark.parametrize("fold", [True, False])
def test_shortcuts_are_counted_with_those_of_folded_blocks(
    blocks, name, identities, projections, fold
):
    whole = folded(blocks(name)) if fold else blocks(name)
    found = count_shortcuts(whole)
    assert (found["identity"], found["projection"]) == (identities, projections)
    assert set(found) <= {"identity", "projection"}


def test_a_shortcut_that_only_subsamples_counts_as_identity():
    network = build("resnet20_cifar", weights="none", device="meta")
    assert count_shortcuts(blocks_in(network)) == {"identity": 9}


def test_a_plain_network_has_none():
    network = build("plain18", weights="none", device="meta")
    assert not count_shortcuts(blocks_in(network))


def find(block, name):
    """The block of that name, at any depth."""
    for part in block.parts:
        if isinstance(part, BlockFrame):
            if part.name == name:
                return part
            if found := find(part, name):
                return found
    return None


def test_an_inception_module_has_four_branches_side_by_side(blocks):
    module = find(blocks("googlenet"), "inception3a")
    paths = paths_of(module)
    after = {}
    for source, target in paths.links:
        after.setdefault(source, []).append(target)
    assert paths.sides == ()
    (concat,) = [i for i, part in enumerate(module.parts) if part.title == "concat"]
    branches = []
    for start in after[ENTRY]:
        branch = [start]
        while after[branch[-1]] != [concat]:
            (following,) = after[branch[-1]]
            branch.append(following)
        branches.append([module.parts[i].title for i in branch])
    assert branches == [
        ["conv 1x1, 64"],
        ["conv 1x1, 96", "conv 3x3, 128"],
        ["conv 1x1, 16", "conv 3x3, 32"],
        ["max pool 3x3", "conv 1x1, 32"],
    ]


def test_a_projection_is_shown_with_its_convolution(blocks):
    block = find(blocks("resnet18"), "layer2.0")
    (side,) = paths_of(block).sides
    assert (side.style, side.source) == ("projection", ENTRY)
    assert [block.parts[i].title for i in side.parts] == ["conv 1x1, 128, /2"]
    assert [block.parts[i].title for i in side.targets] == ["+"]


def test_an_identity_shortcut_leads_past_the_layers(blocks):
    block = find(blocks("resnet18"), "layer2.1")
    (side,) = paths_of(block).sides
    assert (side.style, side.source, side.parts) == ("identity", ENTRY, ())


def test_weights_of_channels_are_no_shortcut(blocks):
    block = find(blocks("efficientnet_b0"), "features.1.0.block.1")
    (side,) = paths_of(block).sides
    assert side.style == "plain"
    assert [block.parts[i].title for i in side.targets] == ["x"]


def test_dense_links_of_one_layer_are_one_line(blocks):
    block = find(blocks("densenet"), "features.denseblock1")
    sides = paths_of(block).sides
    assert [len(side.targets) for side in sides] == [4, 3, 2, 1]
    assert {side.style for side in sides} == {"plain"}


def test_auxiliary_heads_are_beside_the_main_path():
    network = build("googlenet", weights="none", device="meta", aux_heads=True).train()
    whole = blocks_in(network)
    ends = [side for side in paths_of(whole).sides if not side.targets]
    shown = [[whole.parts[i] for i in side.parts] for side in ends]
    assert [
        (whole.parts[side.source].name, head.name)
        for side, (head, _) in zip(ends, shown, strict=True)
    ] == [
        ("inception4a", "aux1"),
        ("inception4d", "aux2"),
    ]
    assert [answer.title for _, answer in shown] == ["aux_logits1", "aux_logits2"]


def boxes(*titles):
    kinds = {"+": "join", "concat": "join"}
    return tuple(
        Box(
            kinds.get(title, "layer"),
            title,
            state="-" if title in ("pool", *kinds) else "frozen",
            is_pointwise=title == "1x1",
        )
        for title in titles
    )


def sides_of(parts, *links):
    return paths_of(BlockFrame("", "Any", False, parts, links)).sides


def test_two_branches_with_as_many_layers_are_no_shortcut():
    parts = boxes("1x1", "3x3", "+")
    assert sides_of(parts, (ENTRY, 0), (ENTRY, 1), (0, 2), (1, 2), (2, EXIT)) == ()


def test_a_branch_with_another_layer_than_a_1x1_is_no_shortcut():
    parts = boxes("3x3", "3x3", "3x3", "+")
    links = (ENTRY, 0), (ENTRY, 1), (0, 3), (1, 2), (2, 3), (3, EXIT)
    assert sides_of(parts, *links) == ()


def test_a_projection_past_something_that_leads_elsewhere_stays_a_branch():
    parts = boxes("1x1", "3x3", "3x3", "+", "concat")
    links = (ENTRY, 0), (ENTRY, 1), (0, 3), (1, 2), (2, 3), (1, 4), (3, 4), (4, EXIT)
    assert [side.style for side in sides_of(parts, *links)] == ["plain"]


def test_an_addition_to_itself_is_no_join():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.layer(x)
            return x + x

    whole = blocks_in(Twice(), (3, 5, 5))
    assert whole.parts[1].notes == ("+ itself",)
    assert not count_shortcuts(whole)
