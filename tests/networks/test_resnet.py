"""Residual networks, plain ones, and where they halve the size."""

import pytest
import torch
from torch import nn

from budwood.classics.resnet import BLOCKS, Subsample, resnet, resnet_cifar


def on_meta(depth: int, **options: bool) -> nn.Module:
    with torch.device("meta"):
        return resnet(depth, **options)


def weighted(network: nn.Module) -> int:
    """Convolutions and linear layers, without those in shortcuts."""
    return sum(
        isinstance(module, nn.Conv2d | nn.Linear)
        for name, module in network.named_modules()
        if "downsample" not in name
    )


@pytest.mark.parametrize("depth", BLOCKS)
def test_the_name_counts_the_layers_with_weights(depth):
    assert weighted(on_meta(depth)) == weighted(on_meta(depth, shortcuts=False)) == depth


@pytest.mark.parametrize("depth", [20, 56])
def test_the_name_counts_those_of_the_small_networks_too(depth):
    assert weighted(resnet_cifar(depth)) == depth


@pytest.mark.parametrize(("v15", "strides"), [(False, (2, 1)), (True, (1, 2))])
def test_a_bottleneck_halves_the_size_in_one_of_two_places(v15, strides):
    network = on_meta(50, v15=v15)
    for stage in (network.layer2, network.layer3, network.layer4):
        assert (stage[0].conv1.stride[0], stage[0].conv2.stride[0]) == strides


def test_the_placement_makes_another_function_of_the_same_tensors():
    torch.manual_seed(0)
    original, newer = resnet(50, 3).eval(), resnet(50, 3, v15=True).eval()
    newer.load_state_dict(original.state_dict())
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        assert not torch.allclose(original(x), newer(x))


def test_a_block_whose_layers_give_nothing_passes_its_input_on():
    block = resnet_cifar(20).layer1[1].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(1, 16, 8, 8)
    assert torch.equal(block(x), x)


def test_a_plain_block_then_gives_nothing():
    block = resnet_cifar(20, shortcuts=False).layer1[1].eval()
    nn.init.zeros_(block.bn2.weight)
    assert not block(torch.rand(1, 16, 8, 8)).any()


def test_option_a_takes_every_second_pixel_and_adds_maps_of_zeros():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    given = Subsample(stride=2, new_maps=2)(x)
    assert given.shape == (1, 3, 2, 2)
    assert given[0, 0].tolist() == [[0, 2], [8, 10]]
    assert not given[0, 1:].any()


def test_shortcuts_of_the_small_networks_have_no_parameters():
    with_shortcuts, plain = resnet_cifar(20), resnet_cifar(20, shortcuts=False)
    assert with_shortcuts.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 3, 32, 32)
    assert with_shortcuts(x).shape == plain(x).shape == (2, 10)
