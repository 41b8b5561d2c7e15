"""LeNet-5, then and now."""

import pytest
import torch
from torch import nn

from budwood.classics.lenet import (
    S2_READ_BY_C3,
    EuclideanRBF,
    ScaledTanh,
    SparseConvolution,
    Subsampling,
    lenet5,
    lenet5_1998,
)
from budwood.errors import WeightsError
from budwood.models.building import build, rebuild
from budwood.models.heads import head_names, num_outputs, replace_head
from budwood.models.info import info


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("make", [lenet5, lenet5_1998])
def test_digits_become_ten_logits(make):
    assert make()(torch.zeros(3, 1, 32, 32)).shape == (3, 10)


def test_the_parameters_of_every_layer_are_the_papers():
    network = lenet5_1998()
    layers = ("c1", "s2", "c3", "s4", "c5", "f6", "output")
    assert [count(network.get_submodule(name)) for name in layers] == [
        *(156, 12, 1516, 32, 48120, 10164, 0)
    ]
    assert count(lenet5()) == 61706


def test_each_map_of_c3_reads_what_the_table_says():
    sizes = [len(read) for read in S2_READ_BY_C3]
    assert sizes == [3] * 6 + [4] * 9 + [6]
    assert len(set(map(frozenset, S2_READ_BY_C3))) == 16
    # Every map of S2 is read ten times: the columns of the paper's table.
    assert [sum(i in read for read in S2_READ_BY_C3) for i in range(6)] == [10] * 6


def test_a_sparse_convolution_is_a_dense_one_with_zeros():
    sparse, dense = SparseConvolution(), nn.Conv2d(6, 16, 5)
    with torch.no_grad():
        dense.weight.zero_()
        for i, (unit, read) in enumerate(zip(sparse.maps, S2_READ_BY_C3, strict=True)):
            dense.weight[i, list(read)] = unit.weight[0]
            dense.bias[i] = unit.bias[0]
    x = torch.randn(2, 6, 14, 14)
    torch.testing.assert_close(sparse(x), dense(x))


def test_subsampling_sums_weighs_and_squashes():
    layer = Subsampling(1)
    with torch.no_grad():
        layer.weight.fill_(0.1)
        layer.bias.fill_(-0.5)
    window = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = 1.7159 * torch.tanh(torch.tensor(2 / 3 * (0.1 * 10 - 0.5)))
    assert layer(window).item() == pytest.approx(expected.item())


def test_the_squashing_function_keeps_one():
    assert ScaledTanh()(torch.tensor([1.0, -1.0, 0.0])).tolist() == pytest.approx(
        [1, -1, 0], abs=1e-4
    )


class TestTheOutput:
    def test_it_is_minus_the_squared_distance(self):
        layer, x = EuclideanRBF(84, 10), torch.randn(4, 84)
        expected = [[-((row - code) ** 2).sum().item() for code in layer.weight] for row in x]
        torch.testing.assert_close(layer(x), torch.tensor(expected))

    def test_the_codes_are_signs_and_never_train(self):
        layer = EuclideanRBF(84, 10)
        assert set(layer.weight.flatten().tolist()) == {-1.0, 1.0}
        assert not list(layer.parameters())
        assert list(layer.state_dict()) == ["weight"]

    def test_the_codes_are_drawn_from_the_seed(self):
        first, again, other = (
            build("lenet5_1998", weights="none", seed=seed).output.weight for seed in (1, 1, 2)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_it_is_the_head_and_gives_way_to_a_linear_layer(self):
        network = lenet5_1998()
        assert (head_names(network), num_outputs(network)) == (["output"], 10)
        replace_head(network, ["cat", "dog", "emu"])
        assert isinstance(network.output, nn.Linear)
        assert network(torch.zeros(1, 1, 32, 32)).shape == (1, 3)

    def test_a_file_with_other_codes_brings_them_along(self, tmp_path):
        saved = lenet5_1998(num_classes=5)
        torch.save(saved.state_dict(), tmp_path / "five.pth")
        network = build("lenet5_1998", weights=tmp_path / "five.pth")
        assert num_outputs(network) == 5
        assert torch.equal(network.output.weight, saved.output.weight)


def test_weights_start_within_the_papers_bounds():
    network = lenet5_1998()
    bounds = {"c1": 2.4 / 25, "s2": 2.4 / 4, "c5": 2.4 / 400, "f6": 2.4 / 120}
    for name, bound in bounds.items():
        weight = network.get_submodule(name).weight
        assert 0.5 * bound < weight.abs().max() <= bound


def test_photos_are_made_grey_and_small():
    preprocessing = info(build("lenet5", weights="none", device="meta")).preprocessing
    assert (preprocessing.size, len(preprocessing.mean)) == ((32, 32), 1)
    black, white = ((value - preprocessing.mean[0]) / preprocessing.std[0] for value in (0, 1))
    assert (black, white) == pytest.approx((-0.1, 1.175), abs=1e-3)


def test_it_is_rebuilt_from_its_origin():
    network = build("lenet5_1998", weights="none")
    again = rebuild(info(network).origin)
    again.load_state_dict(network.state_dict())
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(again(x), network(x))


def test_no_weights_are_published():
    with pytest.raises(WeightsError, match="No weights are published for lenet5"):
        build("lenet5")
