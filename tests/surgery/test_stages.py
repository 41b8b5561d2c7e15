"""Stages: every natural place to cut a network, as one short row each."""

import pytest
import torch

import budwood
from budwood.networks.prepared import Prepared
from budwood.surgery.stages import stages_of

EXPECTED = {
    "lenet5": ["s2", "s4"],
    "convnext_atto": ["stages.0", "stages.1", "stages.2"],
    "efficientnet_lite0": [f"blocks.{i}" for i in range(7)],
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "vgg16": ["features.4", "features.9", "features.16", "features.23"],
    "googlenet": ["inception3b", "inception4e", "inception5b"],
}


@pytest.fixture(scope="module", params=list(EXPECTED))
def found(request):
    network = budwood.build(request.param, weights="none", classes=3)
    prepared = Prepared(network, network.preprocessing)
    height, width = network.preprocessing.size
    size = (height, width, len(network.preprocessing.mean))
    photo = torch.zeros(1, *size, dtype=torch.uint8)
    return request.param, prepared, stages_of(prepared, photo), size


def test_the_blocks_are_stages_in_their_order(found):
    name, _, stages, _ = found
    names = [stage.name for stage in stages.stages]
    assert [n for n in names if n in EXPECTED[name]] == EXPECTED[name], names
    assert len(set(names)) == len(names)
    macs = [stage.macs for stage in stages.stages]
    assert macs == sorted(macs)
    assert macs[0] > 0


def test_a_stage_is_the_mean_of_what_the_block_gives(found):
    name, prepared, stages, size = found
    pixels = torch.randint(0, 256, (2, *size), dtype=torch.uint8)
    seen = {}
    layers = {
        s.name: prepared.get_submodule(f"network.{s.name}")
        for s in stages.stages
        if s.name in EXPECTED[name]
    }
    handles = [
        layer.register_forward_hook(lambda _, __, out, n=n: seen.__setitem__(n, out.clone()))
        for n, layer in layers.items()
    ]
    with torch.inference_mode():
        prepared.eval()(pixels)
        rows = stages.cut.trunk(pixels)
    for handle in handles:
        handle.remove()
    for stage, row in zip(stages.stages, rows, strict=True):
        assert row.shape == (2, stage.width)
        if stage.name in seen:
            torch.testing.assert_close(row, seen[stage.name].mean((2, 3)))


def test_the_last_stage_feeds_the_classifier(found):
    _, prepared, stages, size = found
    pixels = torch.randint(0, 256, (2, *size), dtype=torch.uint8)
    linear = [m for m in prepared.modules() if isinstance(m, torch.nn.Linear)]
    seen = []
    handles = [m.register_forward_pre_hook(lambda _, given: seen.append(given[0])) for m in linear]
    with torch.inference_mode():
        prepared.eval()(pixels)
        rows = stages.cut.trunk(pixels)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(rows[-1], seen[-1])


def test_what_trains_still_trains_afterwards():
    network = budwood.build("resnet18", weights="none", classes=3)
    budwood.freeze(network, "*")
    budwood.unfreeze(network, "fc", "layer4*")
    before = {n: p.requires_grad for n, p in network.named_parameters()}
    photo = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    stages_of(Prepared(network, network.preprocessing), photo)
    assert {n: p.requires_grad for n, p in network.named_parameters()} == before
