"""Joints: what fits, which adapter is offered, and how a misfit is told."""

import pytest
from torch import nn

from budwood.errors import CutError
from budwood.grafting.joining import End, Socket, join, on_shapes
from budwood.grafting.new_layers import NewLayer


def socket(module, wants, name="there", vectors_only=False):
    hollow = on_shapes(module)
    return Socket(name, lambda _: hollow, wants, vectors_only)


def types(joint):
    return [adapter.type for adapter in joint.adapters]


def test_what_fits_needs_no_adapter():
    joint = join(End("here", (3, 9, 9)), socket(nn.Conv2d(3, 8, 3), (3, 5, 5)), adapt=True)
    assert (types(joint), joint.gives) == ([], (8, 7, 7))


def test_other_channels_need_a_convolution():
    layer = socket(nn.Conv2d(480, 8, 3), (480, 14, 14))
    joint = join(End("here", (128, 28, 28)), layer, adapt=True)
    assert types(joint) == ["Conv2d"]
    assert joint.gives == (8, 26, 26)


@pytest.mark.parametrize(("side", "resize"), [(12, "AdaptiveAvgPool2d"), (3, "Upsample")])
def test_another_size_needs_a_resize(side, resize):
    head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 49, 2))
    joint = join(End("here", (4, side, side)), socket(head, (4, 7, 7)), adapt=True)
    assert (types(joint), joint.gives) == ([resize], (2,))


def test_both_may_be_needed():
    head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4 * 49, 2))
    joint = join(End("here", (6, 12, 12)), socket(head, (4, 7, 7)), adapt=True)
    assert types(joint) == ["AdaptiveAvgPool2d", "Conv2d"]


@pytest.mark.parametrize(
    ("shape", "adapters"),
    [
        ((4, 2, 2), ["Flatten"]),
        ((16, 7, 7), ["AdaptiveAvgPool2d", "Flatten"]),
        ((5, 7, 7), ["AdaptiveAvgPool2d", "Conv2d", "Flatten"]),
    ],
)
def test_maps_become_features(shape, adapters):
    joint = join(End("here", shape), socket(nn.Linear(16, 2), (16,), vectors_only=True), adapt=True)
    assert (types(joint), joint.gives) == (adapters, (2,))


def test_a_linear_layer_of_inferred_size_is_offered_a_flattening():
    layer = NewLayer(type="Linear", options={"out_features": 2})
    with pytest.raises(CutError, match=r"fc does not fit on here: .*4x3x3.*rows of features"):
        join(End("here", (4, 3, 3)), Socket.of(layer, "fc", (4, 3, 3), None), adapt=False)
    joint = join(End("here", (4, 3, 3)), Socket.of(layer, "fc", (4, 3, 3), None), adapt=True)
    assert (types(joint), joint.gives) == (["Flatten"], (2,))


def test_the_misfit_names_both_sides_and_the_adapter():
    layer = socket(nn.Conv2d(480, 8, 1), (480, 14, 14), "inception4a")
    message = (
        "inception4a does not fit on layer2: layer2 gives 128x28x28, inception4a takes 480x14x14. "
        "Set adapt = true: a 1x1 convolution from 128 to 480 channels between them."
    )
    with pytest.raises(CutError, match=message):
        join(End("layer2", (128, 28, 28)), layer, adapt=False)


def test_features_cannot_become_maps():
    layer = socket(nn.Conv2d(3, 8, 3), (3, 5, 5))
    with pytest.raises(CutError, match=r"here gives 12, there takes 3x5x5. Put layers between"):
        join(End("here", (12,)), layer, adapt=True)
