"""Stages: every natural place to cut a network, as one short row each."""

import pytest
import torch

import budwood
from budwood.models.info import info
from budwood.models.prepared import Prepared
from budwood.surgery.freezing import select
from budwood.surgery.stages import last_stage, stages_of

EVERY = {
    "alexnet": "features.2 features.5 features.12 classifier.2 classifier.5",
    "convnext_atto": "stem.0 stages.0 stages.1 stages.2 stages.3",
    "densenet121": "features.pool0 features.denseblock1 features.transition1 "
    "features.denseblock2 features.transition2 features.denseblock3 features.transition3 "
    "features.denseblock4",
    "efficientnet_b0": " ".join(f"features.{i}" for i in range(9)),
    "efficientnet_lite0": "bn1 " + " ".join(f"blocks.{i}" for i in range(7)) + " conv_head",
    "googlenet": "conv1 conv2 conv3 "
    + " ".join(f"inception{i}" for i in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")),
    "lenet5": "s2 s4 c5 f6",
    "maxvit_t": "stem.0 stem.1 blocks.0 blocks.1 blocks.2 blocks.3 classifier.4",
    "mobilenet_v3_small": " ".join(f"features.{i}" for i in range(13)) + " classifier.1",
    "resnet18": "maxpool layer1 layer2 layer3 layer4",
    "resnet20_cifar": "relu layer1 layer2 layer3",
    "squeezenet1_1": " ".join(f"features.{i}" for i in (2, 3, 4, 6, 7, 9, 10, 11, 12)),
    "swin_t": " ".join(f"features.{i}" for i in range(8)),
    "vgg16": "features.4 features.9 features.16 features.23 features.30 classifier.1 classifier.4",
    "vit_b_16": "conv_proj " + " ".join(f"encoder.layers.encoder_layer_{i}" for i in range(12)),
}
"""All stages of networks of each kind."""
LAST = {
    "resnet18": ("layer4",),
    "efficientnet_lite0": ("conv_head", "bn2"),
    "vgg16": ("classifier.3",),
    "densenet121": ("features.denseblock4", "features.norm5"),
    "lenet5": ("f6",),
}
"""What `--unfreeze` takes to train the last stage."""
EXPECTED = {
    "lenet5": ["s2", "s4"],
    "convnext_atto": ["stages.0", "stages.1", "stages.2"],
    "efficientnet_lite0": [f"blocks.{i}" for i in range(7)],
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "vgg16": ["features.4", "features.9", "features.16", "features.23"],
    "googlenet": ["inception3b", "inception4e", "inception5b"],
}


def stages_by_name(name, **options):
    network = budwood.build(name, weights="none", **options)
    height, width = info(network).preprocessing.size
    size = (1, height, width, len(info(network).preprocessing.mean))
    image = torch.zeros(size, dtype=torch.uint8)
    return network, stages_of(Prepared(network, info(network).preprocessing), image)


@pytest.mark.parametrize("name", EVERY)
def test_every_natural_stage_is_found_in_order_with_growing_costs(name):
    network, found = stages_by_name(name)
    assert " ".join(stage.name for stage in found.stages) == EVERY[name]
    macs = [stage.macs for stage in found.stages]
    assert macs == sorted(macs)
    assert macs[0] > 0
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    assert found.stages[0].memory < found.stages[-1].memory < 1.2 * weights + 30e6


@pytest.mark.parametrize("name", LAST)
def test_the_layers_of_the_last_stage_have_names(name):
    network, found = stages_by_name(name)
    globs = last_stage(found)
    assert globs == LAST[name]
    assert all(select(network, glob) for glob in globs)


def test_stages_do_not_depend_on_the_number_of_classes():
    names = [
        [stage.name for stage in stages_by_name("resnet18", classes=k)[1].stages] for k in (2, 1000)
    ]
    assert names[0] == names[1]


def test_memory_is_that_of_weights_and_of_values_alive_at_the_same_time():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 3, padding=1, bias=False)
            self.second = torch.nn.Conv2d(4, 5, 3, padding=1, bias=False)
            self.last = torch.nn.Linear(5, 2)

        def forward(self, x):
            return self.last(self.second(self.first(x)).mean((2, 3)))

    normal = budwood.Preprocessing(size=(8, 8), resize=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    image = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    first, second = stages_of(Prepared(Two(), normal), image).stages
    place, constants = 4 * 8 * 8, 4 * 6
    # Normalising keeps two values of three channels at a time, the layers their input and output.
    assert first.memory == 4 * 108 + constants + (3 + 4) * place
    assert second.memory == 4 * (108 + 180) + constants + (4 + 5) * place


@pytest.fixture(scope="module", params=list(EXPECTED))
def found(request):
    network = budwood.build(request.param, weights="none", classes=3)
    prepared = Prepared(network, info(network).preprocessing)
    height, width = info(network).preprocessing.size
    size = (height, width, len(info(network).preprocessing.mean))
    image = torch.zeros(1, *size, dtype=torch.uint8)
    return request.param, prepared, stages_of(prepared, image), size


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
    image = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    stages_of(Prepared(network, info(network).preprocessing), image)
    assert {n: p.requires_grad for n, p in network.named_parameters()} == before
