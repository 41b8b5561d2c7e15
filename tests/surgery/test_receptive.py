"""Receptive fields agree with gradients and with published numbers, or are not told at all."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision import models

from budwood.inspection.receptive import ReceptiveFields

window = st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 2]))


def field_of(function, channels=1, size=40):
    """The receptive field of what a function of an image gives back."""
    image = torch.empty(1, channels, size, size, device="meta")
    with torch.no_grad(), torch.device("meta"), ReceptiveFields() as fields:
        fields.start(image)
        return fields.of(function(image))


def conv(kernel=3, stride=1, dilation=1, padding=0):
    return nn.Conv2d(1, 1, kernel, stride, padding, dilation, device="meta")


def touched_pixels(layers):
    """Rows of the image that reach the first output pixel, counted from the gradient."""
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
    image = torch.ones(1, 1, 160, 160, requires_grad=True)
    layers(image)[0, 0, 0, 0].backward()
    return int(image.grad.abs().sum((0, 1, 3)).nonzero().max()) + 1


@given(st.lists(st.tuples(window, st.booleans(), st.sampled_from([1, 2])), max_size=4))
def test_a_chain_sees_the_pixels_that_its_gradient_reaches(chain):
    layers = nn.Sequential(
        *(
            nn.AvgPool2d(kernel, stride) if pools else nn.Conv2d(1, 1, kernel, stride, 0, dilation)
            for (kernel, stride), pools, dilation in chain
        )
    )
    expected = touched_pixels(layers) if chain else 1
    assert field_of(layers.to("meta"), size=160) == expected


PUBLISHED = {  # Araujo, Norris, Sim: "Computing receptive fields of convolutional networks", 2019
    ("alexnet", "features"): 195,
    ("vgg16", "features"): 212,
    ("mobilenet_v2", "features"): 491,
}


@pytest.mark.parametrize(("network", "part"), PUBLISHED)
def test_published_numbers_are_found(network, part):
    with torch.device("meta"):
        layers = models.get_model(network, weights=None).eval().get_submodule(part)
    assert field_of(layers, channels=3, size=224) == PUBLISHED[network, part]


def resnet50_layers():
    with torch.device("meta"):
        network = models.resnet50(weights=None).eval()
    return nn.Sequential(*list(network.children())[:-2])


def test_resnet50_with_the_stride_where_torchvision_has_it():
    blocks = 3 * [4] + [4] + 3 * [8] + [8] + 5 * [16] + [16] + 2 * [32]
    by_hand = 7 + 2 * 2 + sum(2 * step for step in blocks)  # stem, pooling, one 3x3 a block
    assert field_of(resnet50_layers(), channels=3, size=224) == by_hand == 427


def test_resnet50_as_published_with_the_stride_in_the_first_convolution():
    layers = resnet50_layers()
    for module in layers.modules():
        if isinstance(module, models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    assert field_of(layers, channels=3, size=224) == 483


def test_an_uneven_window_counts_with_its_longer_side():
    assert field_of(conv((1, 7))) == 7


def test_where_branches_meet_the_widest_counts():
    wide, narrow = conv(5, padding=2), conv(3, padding=1)
    assert field_of(lambda x: narrow(x) + wide(x)) == 5
    assert field_of(lambda x: torch.cat([wide(x), narrow(x), x], 1)) == 5


def test_branches_out_of_step_have_no_field():
    halved, whole = conv(3, stride=2, padding=1), conv(3, padding=1)
    assert field_of(lambda x: halved(x) + whole(x)[..., :20, :20]) is None


@pytest.mark.parametrize(
    "keeps",
    [
        nn.ReLU(inplace=True),
        nn.Hardswish(inplace=True),
        nn.PReLU(device="meta"),
        nn.BatchNorm2d(1, device="meta").eval(),
        nn.Dropout(),
        nn.ZeroPad2d(2),
        nn.ReflectionPad2d(1),
        nn.ChannelShuffle(1),
        lambda x: x[:, 0].unsqueeze(1),
        lambda x: torch.cat(x.split([1, 0], 1), 1),
        lambda x: torch.stack(x.expand(1, 4, -1, -1).chunk(2, 1)).transpose(0, 1),
        lambda x: x.repeat_interleave(1, 0) * torch.ones(()),
        lambda x: x.permute(1, 0, 2, 3),
        lambda x: x.view(1, 1, 1, *x.shape[-2:]),
    ],
)
def test_work_on_single_pixels_keeps_the_field(keeps):
    assert field_of(lambda x: keeps(conv()(x))) == 3


@pytest.mark.parametrize(
    "ends",
    [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(38, 4, device="meta"),
        nn.ConvTranspose2d(1, 1, 3, device="meta"),
        nn.Upsample(scale_factor=2),
        nn.GroupNorm(1, 1, device="meta"),
        lambda x: x.mean((2, 3)),
        lambda x: x.transpose(1, 3),
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x[..., ::2],
        lambda x: torch.cat([x, x], 3),
        lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
        lambda x: x + x[..., :1, :1],
        lambda x: functional.conv2d(x, x[..., :3, :3]),
        lambda x: functional.scaled_dot_product_attention(x, x, x),
    ],
)
def test_what_mixes_the_image_ends_the_field(ends):
    assert field_of(lambda x: ends(conv()(x))) is None
    assert field_of(lambda x: conv(1)(torch.relu(ends(conv()(x)).reshape(1, 1, 1, -1)))) is None


def test_a_value_that_does_not_depend_on_the_image_has_no_field():
    assert field_of(lambda x: torch.ones(1, 1, 4, 4).relu()) is None


def test_a_constant_that_the_image_is_added_to_takes_its_field():
    assert field_of(lambda x: torch.zeros(1, 1, 38, 38).add_(conv()(x))) == 3


def test_writing_through_a_view_is_noticed_in_the_whole():
    def writes(x):
        near = conv(1)(x)
        near.view(1, 1, 40, 40).add_(conv(5, padding=2)(x))
        return near

    def writes_into_constant(x):
        canvas = torch.zeros(1, 2, 40, 40)
        canvas[:, :1].add_(conv(5, padding=2)(x))
        return canvas.relu()

    assert field_of(writes) is None
    assert field_of(writes_into_constant) is None
