"""The six VGG configurations."""

import pytest
import torch
from torch import nn

from budwood.classics.vgg import CONFIGURATIONS, VGG, initialise_he


@pytest.fixture(scope="module")
def networks() -> dict[str, VGG]:
    with torch.device("meta"):
        return {letter: VGG(letter) for letter in CONFIGURATIONS}


@pytest.mark.parametrize(
    ("letter", "layers"), [("a", 11), ("a_lrn", 11), ("b", 13), ("c", 16), ("d", 16), ("e", 19)]
)
def test_the_layers_with_weights_are_as_many_as_in_the_paper(networks, letter, layers):
    weighted = [m for m in networks[letter].modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == layers


def test_only_c_has_1x1_convolutions_and_they_keep_the_size(networks):
    small = {
        letter: [
            (m.out_channels, m.padding)
            for m in network.modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)
        ]
        for letter, network in networks.items()
    }
    assert small.pop("c") == [(256, (0, 0)), (512, (0, 0)), (512, (0, 0))]
    assert not any(small.values())


def test_a_lrn_is_a_with_one_normalisation(networks):
    a, a_lrn = ([type(m) for m in networks[letter].modules()] for letter in ("a", "a_lrn"))
    assert a_lrn.count(nn.LocalResponseNorm) == 1
    assert [kind for kind in a_lrn if kind is not nn.LocalResponseNorm] == a


def test_the_signal_keeps_its_scale_through_all_layers():
    torch.manual_seed(0)
    with torch.device("meta"):
        features = VGG("d").features
    initialise_he(features.to_empty(device="cpu"))
    with torch.no_grad():
        assert 0.1 < features(torch.randn(1, 3, 64, 64)).std() < 10
