"""What is known of a network's values, by either of the two ways to find it."""

import pytest
import torch
from torch import nn

from budwood.models.building import build
from budwood.models.info import info
from budwood.surgery import recording as probing
from budwood.surgery.recording import is_light, probe_shapes
from budwood.surgery.tracing import trace

NETWORKS = ["efficientnet_lite0", "resnet18", "googlenet_2014", "densenet121", "test_vit", "lenet5"]


def found(network, example, limit, monkeypatch):
    """All that is found of each node, by its name."""
    monkeypatch.setattr(probing, "LIGHT", limit)
    shapes = probe_shapes(trace(network), example)
    record = shapes.record
    names = {
        "rows": {node.name: row for node, row in shapes.rows.items()},
        "macs": {n.name: count / shapes.batches[0] for n, count in record.macs.items()},
        "overwrites": {n.name: [a.name for a in s] for n, s in record.overwrites.items()},
        "draws": {n.name for n in record.draws},
        "unsteady": {n.name for n in record.unsteady},
    }
    return shapes.is_real, names


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", NETWORKS)
def test_running_a_network_and_running_it_on_shapes_tell_the_same(name, mode, monkeypatch):
    network = build(name, weights="none", aux_heads=name.startswith("googlenet"))
    network.train(mode == "train")
    height, width = info(network).preprocessing.size
    example = torch.zeros(1, len(info(network).preprocessing.mean), height, width)
    was_run, run = found(network, example, float("inf"), monkeypatch)
    was_real, on_shapes = found(network, example, 0, monkeypatch)
    assert (was_run, was_real) == (True, False)
    assert run == on_shapes


def test_a_small_network_on_a_small_photo_is_light():
    network = nn.Conv2d(3, 64, 7)
    assert is_light(network, torch.zeros(1, 3, 224, 224))
    assert is_light(network, torch.zeros(1, 224, 224, 3, dtype=torch.uint8))
    assert not is_light(network, torch.zeros(1, 3, 20_000, 20_000))
    assert not is_light(build("vgg16", weights="none", device="meta"), torch.zeros(1, 3, 224, 224))
