"""What a cut is and says, and that it goes on holding when the network's mode changes."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from budwood.errors import CutError
from budwood.images.preprocessing import Preprocessing
from budwood.models.info import set_info
from budwood.models.prepared import Prepared
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze


def small():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.Conv2d(4, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )


def head_only(network, head="6"):
    return unfreeze(freeze(network, "*"), head).train()


X = torch.randn(4, 3, 8, 8)
GREY = Preprocessing(size=(6, 8), resize=(6, 8), mean=(0.5,), std=(0.2,))
RGB = Preprocessing(size=(8, 8), resize=8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def test_a_cut_says_its_frontier_and_the_bytes_of_a_row():
    split = cut(head_only(small()), X[:1])
    assert str(split) == "frontier: 5 4 (16 bytes a photo)"
    assert split.row_bytes == split.frontier[0].bytes == 16
    split = cut(head_only(small(), "3"), X[:1])
    assert str(split) == "frontier: 1 4x8x8 (1,024 bytes a photo)"


def test_only_shape_and_type_of_the_example_matter():
    network = head_only(small())
    assert cut(network, X[:1]).frontier == cut(network, torch.full_like(X, torch.nan)).frontier
    assert cut(network.double(), X.double()).frontier[0].dtype == torch.float64


def test_the_default_example_is_a_photo_of_224_pixels():
    assert cut(small()).frontier[0].shape == (3, 224, 224)


def test_the_default_example_is_what_the_networks_preprocessing_makes():
    network = small()
    set_info(network, preprocessing=RGB)
    assert cut(network).frontier[0].shape == (3, 8, 8)
    network[0] = nn.Conv2d(1, 4, 3)
    set_info(network, preprocessing=GREY)
    assert cut(network).frontier[0].shape == (1, 6, 8)


def test_a_prepared_network_takes_pixels(law):
    network = Prepared(small(), RGB)
    pixels = torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8)
    split = law(head_only(network, "network.6"), pixels)
    assert split.frontier[0].shape == (4,)
    law(unfreeze(network, "*"), pixels)


def test_a_prepared_network_that_trains_as_a_whole_stores_the_pixels_themselves():
    (image,) = cut(Prepared(small(), replace(RGB, size=(224, 200), resize=224))).frontier
    assert (image.shape, image.dtype) == ((224, 200, 3), torch.uint8)


def test_the_trunk_stays_in_eval_mode_when_the_network_trains():
    network = head_only(small())
    split = cut(network, X[:1])
    before = split.trunk(X)[0]
    network.train()
    split.graft.train()
    assert not any(module.training for module in split.trunk.modules())
    assert torch.equal(split.trunk(X)[0], before)


def test_both_parts_share_the_networks_tensors():
    network = head_only(small())
    split = cut(network, X[:1])
    own = {id(p) for p in network.parameters()}
    assert {id(p) for p in split.trunk.parameters()} | {
        id(p) for p in split.graft.parameters()
    } == own
    with torch.no_grad():
        network[0].weight.zero_()
        network[6].bias.fill_(7)
    assert torch.equal(split.trunk(X)[0], split.trunk(-X)[0])
    assert torch.equal(split.graft((torch.zeros(1, 4),)), torch.full((1, 2), 7.0))


def test_training_the_graft_trains_the_network():
    network = head_only(small())
    before = copy.deepcopy(network.state_dict())
    split = cut(network, X[:1])
    optimizer = torch.optim.SGD([p for p in split.graft.parameters() if p.requires_grad], lr=0.1)
    split.graft(split.trunk(X)).sum().backward()
    optimizer.step()
    changed = [n for n, t in network.state_dict().items() if not torch.equal(t, before[n])]
    assert changed == ["6.weight", "6.bias"]


def test_another_size_goes_through_a_network_that_takes_any():
    network = head_only(small())
    split, larger = cut(network, X[:1]), torch.randn(2, 3, 12, 10)
    network.eval()
    assert torch.equal(split.graft(split.trunk(larger)), network(larger))


def test_an_example_that_does_not_fit_is_an_error():
    with pytest.raises(CutError, match=r"shape \(1, 1, 8, 8\).*pass an example of the right shape"):
        cut(small(), torch.zeros(1, 1, 8, 8))


def test_an_example_that_does_not_fit_is_not_logged(caplog, capfd):
    with pytest.raises(CutError):
        cut(small(), torch.zeros(1, 1, 8, 8))
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_a_network_on_no_device_can_be_cut():
    with torch.device("meta"):
        network = head_only(small())
    split = cut(network, torch.zeros(1, 3, 8, 8, device="meta"))
    assert split.frontier[0].shape == (4,)


def test_cutting_twice_gives_the_same_cut():
    network = head_only(small())
    first, second = cut(network, X[:1]), cut(network, X[:1])
    assert first.frontier == second.frontier
    assert torch.equal(first.trunk(X)[0], second.trunk(X)[0])
