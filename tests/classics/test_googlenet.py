"""GoogLeNet and its modules."""

from dataclasses import astuple

import pytest
import torch
from torch import nn

from budwood.classics.googlenet import (
    WIDTHS,
    GoogLeNetOutputs,
    InceptionV1,
    InceptionV2,
    InceptionV3,
    NaiveInception,
    entering,
    googlenet_2014,
    googlenet_naive,
)
from budwood.errors import ConfigError
from budwood.learning.training import total_loss
from budwood.models.building import build, rebuild
from budwood.models.heads import head_names
from budwood.models.info import info


@pytest.mark.parametrize("module", [NaiveInception, InceptionV1, InceptionV2, InceptionV3])
def test_a_module_stands_alone_and_keeps_the_size(module):
    inception = module(24, WIDTHS["3a"]).eval()
    with torch.no_grad():
        given = inception(torch.randn(2, 24, 9, 9))
    naive = module is NaiveInception
    ones, _, threes, _, fives, pooled = astuple(WIDTHS["3a"])
    assert given.shape == (2, ones + threes + fives + (24 if naive else pooled), 9, 9)
    assert given.shape[1] == inception.out_channels


def kernels(module: nn.Module) -> list[list[tuple[int, ...]]]:
    branches = (module.branch1, module.branch2, module.branch3, module.branch4)
    return [
        [layer.kernel_size for layer in branch.modules() if isinstance(layer, nn.Conv2d)]
        for branch in branches
    ]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (NaiveInception, [[(1, 1)], [(3, 3)], [(5, 5)], []]),
        (InceptionV1, [[(1, 1)], [(1, 1), (3, 3)], [(1, 1), (5, 5)], [(1, 1)]]),
        (InceptionV2, [[(1, 1)], [(1, 1), (3, 3)], [(1, 1), (3, 3), (3, 3)], [(1, 1)]]),
        (
            InceptionV3,
            [
                [(1, 1)],
                [(1, 1), (1, 7), (7, 1)],
                [(1, 1), (7, 1), (1, 7), (7, 1), (1, 7)],
                [(1, 1)],
            ],
        ),
    ],
)
def test_the_kernels_are_those_of_the_papers(module, expected):
    assert kernels(module(24, WIDTHS["3a"])) == expected


def test_only_the_later_modules_normalise_batches():
    has_norm = {
        module: any(isinstance(m, nn.BatchNorm2d) for m in module(8, WIDTHS["3a"]).modules())
        for module in (NaiveInception, InceptionV1, InceptionV2, InceptionV3)
    }
    assert list(has_norm.values()) == [False, False, True, True]


def test_every_module_reads_what_the_one_before_gives():
    with torch.device("meta"):
        network = googlenet_2014()
    for position in WIDTHS:
        branch = network.get_submodule(f"inception{position}.branch1")
        assert branch[0].in_channels == entering(position)[0]


def test_naive_modules_become_wider_and_wider():
    with torch.device("meta"):
        network = googlenet_naive()
    widths = [network.get_submodule(f"inception{each}").out_channels for each in WIDTHS]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1], network.fc.in_features) == (416, 4944, 4944)


class TestAuxiliaryHeads:
    def test_they_run_in_train_mode_only(self):
        network = googlenet_2014(num_classes=5, aux_heads=True)
        images = torch.randn(2, 3, 80, 80)
        outputs = network.train()(images)
        assert isinstance(outputs, GoogLeNetOutputs)
        assert [each.shape for each in outputs] == [(2, 5)] * 3
        total_loss(outputs, torch.tensor([0, 1])).backward()
        assert all(each.grad is not None for each in network.parameters())
        with torch.no_grad():
            assert network.eval()(images).shape == (2, 5)

    def test_the_second_output_is_of_the_second_head(self):
        network = googlenet_2014(num_classes=5, aux_heads=True).train()
        nn.init.zeros_(network.aux2.fc2.weight)
        nn.init.ones_(network.aux2.fc2.bias)
        with torch.no_grad():
            outputs = network(torch.randn(1, 3, 80, 80))
        assert outputs.aux_logits2.tolist() == [[1.0] * 5]

    def test_at_224_they_pool_as_in_the_paper(self):
        with torch.device("meta"):
            network = googlenet_2014(aux_heads=True)
        shape = network.aux1.pool[0](torch.empty(1, 512, 14, 14, device="meta")).shape
        assert shape == (1, 512, 4, 4)

    def test_they_are_kept_by_name_and_get_new_classes(self):
        network = build("googlenet_2014", weights="none", aux_heads=True, classes=7, device="meta")
        assert head_names(network) == ["fc", "aux1.fc2", "aux2.fc2"]
        assert network.aux1.fc2.out_features == 7
        assert head_names(rebuild(info(network).origin)) == head_names(network)

    def test_without_them_a_file_that_has_them_is_read(self, tmp_path):
        saved = googlenet_2014(num_classes=5, aux_heads=True)
        torch.save(saved.state_dict(), tmp_path / "aux.pth")
        network = build("googlenet_2014", weights=tmp_path / "aux.pth")
        assert network.aux1 is None
        assert torch.equal(network.fc.weight, saved.fc.weight)

    def test_the_naive_network_has_none(self):
        with pytest.raises(ConfigError, match="googlenet_naive has no auxiliary heads"):
            build("googlenet_naive", weights="none", aux_heads=True, device="meta")
