"""A network cut anywhere and grafted onto itself gives the same answers, bit for bit."""

import itertools

import pytest
import torch
from torch import nn

from budwood.grafting.donors import take
from budwood.grafting.grafted import graft
from budwood.models.building import build

NETWORKS = ("vgg16", "resnet18", "googlenet", "efficientnet_b0")


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    network = build(request.param, weights="none")
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():  # statistics that are not those of a new network
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network


def places(module: nn.Module, path: str = "") -> list[str]:
    """The layers and blocks of a network in their order; only containers are opened."""
    found = []
    for name, child in module.named_children():
        inner = f"{path}.{name}".lstrip(".")
        is_container = isinstance(child, nn.Sequential) and len(child)
        found += places(child, inner) if is_container else [inner]
    return found


@pytest.fixture(scope="module")
def answers(network):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return x, network(x)


def test_at_every_cut(network, answers):
    x, whole = answers
    order = places(network)
    assert len(order) >= 14
    for before, after in itertools.pairwise(order):
        front = take(network, "", before).module().eval()
        back = take(network, after, "").module().eval()
        with torch.inference_mode():
            assert torch.equal(back(front(x)), whole), (before, after)


def test_as_a_graft(network, answers):
    x, whole = answers
    order = places(network)
    middle = len(order) // 2
    net = graft([take(network, "", order[middle]), take(network, order[middle + 1], "")])
    with torch.inference_mode():
        assert torch.equal(net(x), whole)
