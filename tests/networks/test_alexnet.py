"""AlexNet in one tower and in two."""

import pytest
import torch
from torch import nn

from budwood.classics.alexnet import alexnet_2012, alexnet_course, response_norm


def kinds(network) -> list[str]:
    names = [name for name, _ in network.features.named_children()]
    return [name for name in names if not name.startswith("relu")]


def test_the_course_normalises_after_pooling_and_the_paper_before():
    with torch.device("meta"):
        course, paper = alexnet_course(), alexnet_2012()
    assert kinds(course)[:6] == ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2"]
    assert kinds(paper)[:6] == ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2"]
    assert kinds(course)[6:] == kinds(paper)[6:] == ["conv3", "conv4", "conv5", "pool3"]


@pytest.mark.parametrize(("make", "towers"), [(alexnet_course, 1), (alexnet_2012, 2)])
def test_the_towers_meet_in_the_third_convolution_only(make, towers):
    with torch.device("meta"):
        features = make().features
    groups = [features.get_submodule(f"conv{number}").groups for number in range(1, 6)]
    assert groups == [1, towers, 1, towers, towers]


def test_normalisation_is_the_papers_formula():
    maps = torch.rand(1, 7, 1, 1) * 50
    a = maps.flatten().tolist()
    expected = [
        a[i] / (2 + 1e-4 * sum(value**2 for value in a[max(0, i - 2) : i + 3])) ** 0.75
        for i in range(7)
    ]
    assert response_norm()(maps).flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_weights_start_as_in_the_paper():
    network = alexnet_2012(num_classes=3)
    ones = {
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and bool((module.bias == 1).all())
    }
    assert ones == {*(f"features.conv{n}" for n in (2, 4, 5)), "classifier.fc1", "classifier.fc2"}
    assert network.features.conv3.weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not network.features.conv3.bias.any()
    with torch.no_grad():
        assert network.eval()(torch.zeros(2, 3, 227, 227)).shape == (2, 3)
