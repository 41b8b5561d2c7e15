"""What a box says, what joins it, and whose parameters it counts."""

import pytest
import torch
from torch import nn

from budwood.drawing.network_drawing import blocks_in


def boxes(network, image=(3, 8, 8)):
    """The boxes of a network without blocks, between photo and answer."""
    return blocks_in(network, image).parts[1:-1]


def test_what_follows_a_layer_is_a_note_of_its_box():
    (box,) = boxes(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)))
    assert (box.title, box.name, box.shape) == ("conv 3x3, 8", "0", "8 x 6 x 6")
    assert box.notes == ("BN", "ReLU", "dropout 0.2")
    assert box.parameters == 3 * 8 * 9 + 8 + 16
    assert box.about == (
        "0: 3x3 convolution, 8 channels, stride 1; 1: batch normalisation; 2: ReLU; "
        "3: dropout, probability 0.2; 240 parameters, trainable"
    )


def test_a_change_of_shape_is_shown():
    (box,) = boxes(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert (box.title, box.notes) == ("global avg pool", ("flatten",))
    assert box.shape == "3 x 1 x 1 to 3"


def test_a_normalisation_that_comes_first_has_a_box():
    first, second = boxes(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 1)))
    assert (first.title, first.notes) == ("batch norm", ("ReLU",))
    assert second.title == "conv 1x1, 4"


def test_layers_that_do_nothing_are_left_out():
    (box,) = boxes(nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.Dropout(0.0)))
    assert box.notes == ()


class Wired(nn.Module):
    """Two layers, and code that puts them together."""

    def __init__(self, code):
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.code = code

    def forward(self, x):
        return self.code(self, x)


def test_an_addition_takes_an_activation_but_no_parameters():
    rectified = boxes(Wired(lambda net, x: torch.relu(net.a(x) + net.b(x))))
    assert [(box.title, box.notes) for box in rectified[2:]] == [("+", ("ReLU",))]
    normalised = boxes(Wired(lambda net, x: net.norm(net.a(x) + net.b(x))))
    assert [(box.title, box.notes) for box in normalised[2:]] == [("+", ()), ("batch norm", ())]


def test_a_value_that_is_used_twice_takes_no_notes():
    def code(net, x):
        x = net.a(x)
        return torch.relu(x) + x

    assert [box.title for box in boxes(Wired(code))] == ["conv 1x1, 3", "ReLU", "+"]


def test_a_parameter_belongs_to_the_step_that_uses_it():
    (box,) = boxes(Wired(lambda net, x: net.a(x) * net.scale.abs()))
    assert box.notes == ("x scale",)
    assert box.parameters == 12 + 3


def test_parameters_are_counted_where_they_come_first():
    first, second = boxes(Wired(lambda net, x: net.a(torch.cat([net.a(x)[:, :1]] * 3, 1))))[:2]
    assert (first.title, first.parameters) == ("conv 1x1, 3", 12)
    shared = boxes(Wired(lambda net, x: net.a(net.a(x))))[1]
    assert (shared.parameters, shared.state) == (0, "trainable")
    assert shared.about.endswith("shared parameters, trainable")
    assert second


def test_outputs_have_the_names_that_the_network_gives_them():
    network = Wired(lambda net, x: {"low": net.a(x), "high": [net.b(x)]})
    answers = [box.title for box in blocks_in(network, (3, 8, 8)).parts if box.kind == "output"]
    assert answers == ["low", "high"]


def test_a_constant_is_a_note():
    (box,) = boxes(Wired(lambda net, x: net.a(x) * 2 + 1))
    assert box.notes == ("x constant", "+ constant")


@pytest.mark.parametrize(
    ("layer", "title"),
    [
        (nn.Conv2d(3, 64, 7, stride=2), "conv 7x7, 64, /2"),
        (nn.Conv2d(6, 6, (1, 7), groups=6), "depthwise 1x7, 6"),
        (nn.Conv2d(6, 12, 3, groups=2, dilation=2), "conv 3x3, 12, 2 groups, dilation 2"),
        (nn.ConvTranspose2d(6, 5, 2, stride=2), "transposed conv 2x2, 5, /2"),
        (nn.MaxPool2d(3, 2), "max pool 3x3, /2"),
        (nn.AvgPool2d((2, 1)), "avg pool 2x1, /2x1"),
        (nn.AdaptiveMaxPool2d(1), "global max pool"),
        (nn.AdaptiveAvgPool2d((7, None)), "avg pool to 7xany"),
        (nn.LocalResponseNorm(5), "local response norm"),
        (nn.GroupNorm(3, 6), "group norm"),
        (nn.Softmax(1), "softmax"),
        (nn.Upsample(scale_factor=2), "upsampling, nearest"),
    ],
)
def test_titles_of_layers(layer, title):
    channels = getattr(layer, "in_channels", 6)
    (box,) = boxes(nn.Sequential(layer), (channels, 14, 14))
    assert box.title == title


@pytest.mark.parametrize(
    ("code", "title"),
    [
        (lambda net, x: nn.functional.max_pool2d(x, 3, 2), "max pool 3x3, /2"),
        (lambda net, x: nn.functional.avg_pool2d(x, 2), "avg pool 2x2, /2"),
        (lambda net, x: nn.functional.adaptive_avg_pool2d(x, (1, 1)), "global avg pool"),
        (lambda net, x: x.mean((2, 3)), "mean"),
        (lambda net, x: nn.functional.conv2d(x, net.a.weight), "conv2d 3"),
        (lambda net, x: torch.cat([x, x], 1), "concat itself"),
        (lambda net, x: torch.stack([x, x.relu()]), "ReLU"),
    ],
)
def test_titles_of_functions(code, title):
    assert boxes(Wired(code))[0].title == title
