"""What is there several times in a row is drawn once, with its number; what differs is not."""

import pytest
from torch import nn

from budwood.drawing.blocks import BlockFrame, folded
from budwood.drawing.network_drawing import blocks_in


def runs(block):
    """The folded blocks: first, last and how many."""
    for part in block.parts:
        if isinstance(part, BlockFrame):
            if part.times > 1:
                yield part.name, part.last, part.times
            yield from runs(part)


def drawn(network, image=(3, 8, 8)):
    return folded(blocks_in(network, image))


def test_resnet152_is_a_page(blocks):
    assert list(runs(folded(blocks("resnet152")))) == [
        ("layer1.1", "layer1.2", 2),
        ("layer2.1", "layer2.7", 7),
        ("layer3.1", "layer3.35", 35),
        ("layer4.1", "layer4.2", 2),
    ]


def test_the_rate_of_stochastic_depth_makes_no_difference(blocks):
    assert ("features.3.1", "features.3.2", 2) not in list(runs(folded(blocks("vgg16"))))
    assert ("features.4.1", "features.4.2", 2) in list(runs(folded(blocks("efficientnet_b0"))))


def test_vgg_is_drawn_layer_by_layer(blocks):
    assert folded(blocks("vgg16")) == blocks("vgg16")


def test_dense_layers_are_not_a_chain(blocks):
    assert not list(runs(folded(blocks("densenet"))))


def test_a_long_row_of_single_layers_is_folded():
    whole = drawn(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5))))
    assert list(runs(whole)) == [("0", "4", 5)]
    assert whole.parameters == 5 * 12


def two(first=None, second=None):
    block = [nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 1)]
    other = [nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 1)]
    return nn.Sequential(nn.Sequential(*(first or block)), nn.Sequential(*(second or other)))


def test_equal_blocks_are_folded():
    assert list(runs(drawn(two()))) == [("0", "1", 2)]


@pytest.mark.parametrize(
    "other",
    [
        [nn.Conv2d(3, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 3, 1)],
        [nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(3, 3, 1)],
        [nn.Conv2d(3, 3, 3, padding="same", padding_mode="reflect"), nn.ReLU(), nn.Conv2d(3, 3, 1)],
        [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 1)],
    ],
)
def test_blocks_that_differ_are_not_folded(other):
    assert not list(runs(drawn(two(second=other))))


def test_blocks_frozen_differently_are_not_folded():
    network = two()
    network[1][2].bias.requires_grad_(False)
    assert not list(runs(drawn(network)))


def test_a_block_that_is_read_again_later_is_not_folded():
    class Reread(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = two()

        def forward(self, x):
            first = self.blocks[0](x)
            return self.blocks[1](first) + first

    assert not list(runs(drawn(Reread())))


def test_one_block_that_runs_again_and_again_holds_its_parameters_once():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = two()[0]

        def forward(self, x):
            for _ in range(4):
                x = self.block(x)
            return x

    whole = drawn(Recurrent())
    assert list(runs(whole)) == [("block", "block", 3)]
    assert whole.parameters == sum(p.numel() for p in Recurrent().parameters())
