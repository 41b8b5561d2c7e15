"""New layers by name: sizes inferred, options checked, modules described again."""

import pytest
from torch import nn

from budwood.errors import ConfigError
from budwood.grafting.new_layers import TYPES, NewLayer, described


def test_what_enters_is_inferred():
    assert NewLayer(type="Linear", options={"out_features": 2}).made(7).in_features == 7
    assert NewLayer(type="BatchNorm2d").made(5).num_features == 5
    explicit = NewLayer(
        type="Conv2d", options={"in_channels": 1, "out_channels": 3, "kernel_size": 3}
    )
    assert explicit.made(8).in_channels == 1
    assert explicit.entering == 1


def test_classes_stand_for_their_number():
    head = NewLayer(type="Linear", options={"out_features": "classes"})
    assert head.made(4, classes=5).out_features == 5
    with pytest.raises(ConfigError, match=r'out_features = "classes", and how many .* not known'):
        head.made(4)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Conv2D", {}, "No new layer is of type 'Conv2D'. Did you mean 'Conv2d'?"),
        ("LSTM", {}, "No new layer is of type 'LSTM'. There are Conv2d"),
        ("Linear", {"out_feature": 3}, "Linear has no option 'out_feature'. Did you mean 'out_f"),
        ("Conv2d", {"out_channels": 3}, "Conv2d needs 'kernel_size'"),
        ("ReLU", {"p": 3}, "ReLU has no option 'p'. It has inplace"),
    ],
)
def test_wrong_layers_are_told(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        NewLayer(type=kind, options=options)


def test_an_impossible_option_is_told():
    with pytest.raises(ConfigError, match=r"No Conv2d can be made of .*groups"):
        NewLayer(type="Conv2d", options={"out_channels": 3, "kernel_size": 3, "groups": 2}).made(3)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 3, 3, stride=2, bias=False),
        nn.ConvTranspose2d(3, 4, 2),
        nn.Linear(3, 4, bias=False),
        nn.BatchNorm2d(3, affine=False),
        nn.GroupNorm(2, 4),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d((7, 7)),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(5, k=2),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Upsample(scale_factor=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_module_is_described_by_what_makes_it_again(layer):
    found = described(layer)
    assert found.type in TYPES
    assert repr(found.made(found.entering or 0)) == repr(layer)


def test_a_module_of_another_kind_is_not_described():
    class Own(nn.Linear):
        pass

    assert described(Own(2, 2)) is None
    assert described(nn.LSTM(2, 2)) is None
