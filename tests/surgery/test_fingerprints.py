"""Digests change exactly with values; keys are equal exactly for equal graphs."""

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision import models

from budwood.surgery.cutting import cut
from budwood.surgery.fingerprints import (
    changed_tensors,
    digest_of,
    frozen_tensors,
    graph_keys,
    module_key,
)
from budwood.surgery.freezing import freeze, unfreeze

X = torch.zeros(1, 3, 16, 16)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.integers(0, 255), min_size=1, max_size=12), st.data())
def test_a_digest_changes_exactly_with_a_value(values, data):
    tensor = torch.tensor(values, dtype=torch.uint8)
    other = tensor.clone()
    assert digest_of(other) == digest_of(tensor)
    place = data.draw(st.integers(0, len(values) - 1))
    other[place] += data.draw(st.integers(1, 255))
    assert digest_of(other) != digest_of(tensor)


def test_a_digest_depends_on_type_and_shape():
    tensors = [
        torch.zeros(4),
        torch.zeros(2, 2),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(2, dtype=torch.float64),
        torch.zeros(0),
        torch.zeros(0, 3),
        torch.tensor(0.0),
        torch.tensor([-0.0, 0, 0, 0]),
        torch.zeros(8, dtype=torch.bfloat16),
    ]
    assert len({digest_of(tensor) for tensor in tensors}) == len(tensors)


def test_a_digest_ignores_strides_and_gradients():
    tensor = torch.randn(3, 4)
    assert digest_of(tensor.t().contiguous().t()) == digest_of(tensor)
    assert digest_of(nn.Parameter(tensor)) == digest_of(tensor)


def half_frozen():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)
    )
    return freeze(network, "0", "1").train()


def digests(network):
    return {name: digest_of(tensor) for name, tensor in frozen_tensors(network).items()}


def test_statistics_that_may_drift_are_not_frozen():
    names = set(frozen_tensors(half_frozen()))
    assert {"0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"} <= names
    assert not any(name.startswith(("2", "3")) for name in names)


def test_what_trains_may_change():
    network = half_frozen()
    before = digests(network)
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1)
    network(torch.randn(4, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert changed_tensors(before, network) == []


def test_a_changed_weight_is_named():
    network = half_frozen()
    before = digests(network)
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] += 1e-6
    assert changed_tensors(before, network) == ["0.weight"]


def test_drifting_statistics_are_named():
    network = half_frozen()
    before = digests(network)
    del vars(network[1])["train"]
    network.train()
    network(torch.randn(4, 3, 8, 8))
    assert "1.running_mean" in changed_tensors(before, network)


def test_a_tensor_that_is_gone_has_changed():
    network = half_frozen()
    before = digests(network)
    network[0].bias = None
    assert changed_tensors(before, network) == ["0.bias"]


def trunk_keys(network, *head, example=X):
    network = unfreeze(freeze(network, "*"), *head)
    return graph_keys(cut(network, example).trunk)


def test_another_head_leaves_the_trunks_key():
    network = models.resnet18().eval()
    first = trunk_keys(network, "fc")
    network.fc = nn.Sequential(nn.Linear(512, 7), nn.ReLU(), nn.Linear(7, 3))
    assert trunk_keys(network, "fc") == first


def test_a_copy_and_a_wrapped_network_have_the_same_key():
    network = models.resnet18().eval()
    first = trunk_keys(network, "fc")
    assert trunk_keys(copy.deepcopy(network), "fc") == first
    assert trunk_keys(nn.Sequential(network), "0.fc") == first


def test_layers_put_into_a_sequence_have_the_same_key():
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 2)]
    nested = nn.Sequential(nn.Sequential(*layers[:2]), nn.Identity(), *layers[2:])
    assert trunk_keys(nn.Sequential(*layers), "3") == trunk_keys(nested, "3")


@pytest.mark.parametrize(
    ("network", "head"),
    [
        (models.vgg11(), ("classifier.3", "classifier.6")),
        (models.vgg11(), ("classifier.6",)),
        (models.efficientnet_b0(), ("classifier",)),
        (models.DenseNet(8, (1, 1, 1, 1), 16, drop_rate=0.2), ("classifier",)),
        (models.VisionTransformer(32, 8, 2, 2, 32, 64, 0.2, 0.2), ("heads",)),
    ],
)
def test_train_and_eval_mode_share_the_rows_of_a_trunk(network, head):
    example = torch.zeros(1, 3, 32, 32)
    evaluated = trunk_keys(network.eval(), *head, example=example)
    assert trunk_keys(network.train(), *head, example=example) == evaluated


def convolution(**changes):
    options = {"stride": 1, "padding": 0, "padding_mode": "zeros", "dilation": 1} | changes
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3, **options)


def network_of(first, *rest):
    return nn.Sequential(
        first, *rest, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()


def changed_weight():
    layer = convolution()
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] += 1e-6
    return layer


VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: network_of(convolution()),
    "weight": lambda: network_of(changed_weight()),
    "stride": lambda: network_of(convolution(stride=2)),
    "padding": lambda: network_of(convolution(padding=1)),
    "padding mode": lambda: network_of(convolution(padding=1, padding_mode="reflect")),
    "dilation": lambda: network_of(convolution(dilation=2)),
    "relu": lambda: network_of(convolution(), nn.ReLU()),
    "gelu": lambda: network_of(convolution(), nn.GELU()),
    "gelu tanh": lambda: network_of(convolution(), nn.GELU("tanh")),
    "norm": lambda: network_of(convolution(), nn.BatchNorm2d(4)),
    "norm eps": lambda: network_of(convolution(), nn.BatchNorm2d(4, eps=1e-3)),
    "norm, relu": lambda: network_of(convolution(), nn.BatchNorm2d(4), nn.ReLU()),
    "relu, norm": lambda: network_of(convolution(), nn.ReLU(), nn.BatchNorm2d(4)),
    "slope": lambda: network_of(convolution(), nn.LeakyReLU(0.1)),
    "other slope": lambda: network_of(convolution(), nn.LeakyReLU(0.2)),
    "max pool": lambda: network_of(convolution(), nn.MaxPool2d(2)),
    "ceil mode": lambda: network_of(convolution(), nn.MaxPool2d(2, ceil_mode=True)),
    "average pool": lambda: network_of(convolution(), nn.AvgPool2d(2)),
}


def test_every_difference_in_what_is_computed_is_in_the_key():
    keys = {}
    for name, make in VARIANTS.items():
        network = make()
        keys[name] = trunk_keys(network, str(len(network) - 1))
    assert len(set(keys.values())) == len(VARIANTS)


class Functional(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.function(x))


FUNCTIONS = {
    "mean": lambda x: x.mean((2, 3)),
    "mean of relu": lambda x: functional.relu(x).mean((2, 3)),
    "relu of mean": lambda x: functional.relu(x.mean((2, 3))),
    "max": lambda x: x.amax((2, 3)),
    "scaled": lambda x: (2 * x).mean((2, 3)),
    "shifted": lambda x: (2 + x).mean((2, 3)),
    "slope": lambda x: functional.leaky_relu(x, 0.3).mean((2, 3)),
    "other slope": lambda x: functional.leaky_relu(x, negative_slope=0.2).mean((2, 3)),
    "constant": lambda x: (x + torch.ones(3, 1, 1)).mean((2, 3)),
    "other constant": lambda x: (x + torch.zeros(3, 1, 1)).mean((2, 3)),
}


def test_functions_their_order_and_their_constants_are_in_the_key():
    keys = {name: trunk_keys(Functional(f).eval(), "fc") for name, f in FUNCTIONS.items()}
    assert len(set(keys.values())) == len(FUNCTIONS)


class Branching(nn.Module):
    def __init__(self, act=functional.relu, _scale=1.0, steps=(1, 2)):
        super().__init__()
        self.act, self._scale, self.steps = act, _scale, list(steps)

    def forward(self, x):
        return self.act(x) * self._scale if x.sum() > 0 else x


def test_a_modules_key_covers_its_functions_and_private_settings():
    variants = [
        Branching(),
        Branching(act=functional.gelu),
        Branching(_scale=2.0),
        Branching(steps=(2, 1)),
        Branching(act=lambda x: x + 1),
        Branching(act=lambda x: x + 2),
    ]
    assert len({module_key(variant) for variant in variants}) == len(variants)
    assert module_key(Branching()) == module_key(copy.deepcopy(Branching()).eval())


def test_a_modules_key_covers_its_code():
    def forward_once(self, x):
        return x + 1

    def forward_twice(self, x):
        return x + 2

    def of(forward):
        kind = type("Block", (nn.Module,), {"forward": forward, "__module__": "somewhere"})
        return module_key(kind())

    assert of(forward_once) == of(forward_once)
    assert of(forward_once) != of(forward_twice)


def test_an_outputs_key_does_not_depend_on_the_other_outputs():
    class Two(nn.Module):
        def __init__(self, second):
            super().__init__()
            self.second, self.a, self.b = second, nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.a(x.mean((2, 3))), self.b(self.second(x))

    first = trunk_keys(Two(FUNCTIONS["max"]), "a", "b")
    second = trunk_keys(Two(FUNCTIONS["scaled"]), "a", "b")
    assert len(first) == len(second) == 2
    assert first[0] == second[0]
    assert first[1] != second[1]
