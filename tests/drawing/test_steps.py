"""Shapes and places of the steps that are drawn."""

import pytest
import torch
from torch import nn

from budwood.drawing.network_drawing import blocks_in
from budwood.drawing.steps import shape_of_one


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((10007, 64, 7, 7), "64 x 7 x 7"),
        ((10007,), "1"),
        ((197, 10007, 768), "197 x n x 768"),
        ((3 * 10007, 49), "3n x 49"),
        ((5, 5), "5 x 5"),
        ((), "1"),
    ],
)
def test_shapes_are_those_of_one_photo(shape, text):
    assert shape_of_one(shape, 10007) == text


def test_steps_that_lead_nowhere_are_not_drawn():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.forgotten = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            self.forgotten(x)
            return self.used(x)

    names = [part.name for part in blocks_in(Forgetful(), (3, 5, 5)).parts]
    assert names == ["", "used", ""]


def test_what_is_computed_from_sizes_is_no_step():
    class Sized(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            grid = torch.arange(h * w).reshape(h, w)
            return (x + grid).reshape(n, c, h * w)

    (box,) = blocks_in(Sized(), (3, 5, 5)).parts[1:-1]
    assert (box.title, box.notes, box.shape) == ("+ constant", ("reshape",), "3 x 25")


def test_a_layer_with_code_of_its_own_is_one_step():
    class Same(nn.Conv2d):
        def forward(self, x):
            return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))

    (box,) = blocks_in(nn.Sequential(Same(3, 4, 3)), (3, 5, 5)).parts[1:-1]
    assert (box.title, box.shape) == ("conv 3x3, 4", "4 x 5 x 5")


def test_several_values_of_one_step_come_from_it():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            one, other = self.layer(x).chunk(2, 1)
            return torch.cat([one.relu(), other], 1)

    whole = blocks_in(Split(), (3, 5, 5))
    assert [part.title for part in whole.parts[1:-1]] == ["conv 1x1, 4", "ReLU", "concat"]
    assert whole.parts[1].notes == ("split",)
