"""Where the trunk ends: normalisation, branches, and the cheapest of equal frontiers."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from budwood.errors import CutError
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze

X = torch.randn(4, 3, 8, 8)


def frozen_but(network, *trains):
    return unfreeze(freeze(network, "*"), *trains).train()


def names(split):
    return [tensor.name for tensor in split.frontier]


def with_norm(norm):
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 2, 3))


def test_nothing_frozen_puts_the_photo_on_the_frontier(law):
    split = law(with_norm(nn.BatchNorm2d(4)), X)
    assert names(split) == ["input_1"]
    assert split.frontier[0].shape == (3, 8, 8)


def test_everything_frozen_is_an_error():
    with pytest.raises(CutError, match="Unfreeze at least the head"):
        cut(freeze(with_norm(nn.BatchNorm2d(4)), "*"), X[:1])


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return self.bias * 2


def test_an_output_that_ignores_the_photo_is_an_error():
    with pytest.raises(CutError, match="uses the photo it is given"):
        cut(Constant(), X[:1])


def test_a_frozen_normalisation_is_in_the_trunk_and_still(law):
    split = law(frozen_but(with_norm(nn.BatchNorm2d(4)), "3"), X)
    assert names(split) == ["2"]


def test_a_frozen_normalisation_in_the_graft_stays_in_eval_mode(law):
    network = frozen_but(with_norm(nn.BatchNorm2d(4)), "0")
    split = law(network, X)
    split.graft.train()
    split.graft(split.trunk(X))
    assert not network[1].training
    assert network[1].num_batches_tracked == 0


def test_a_normalisation_that_trains_uses_the_batch_and_moves_its_statistics(law):
    network = frozen_but(with_norm(nn.BatchNorm2d(4)), "1", "3")
    split = law(network, X)
    assert names(split) == ["0"]
    split.graft(split.trunk(X))
    assert network[1].num_batches_tracked == 1


def test_parameters_frozen_by_hand_do_not_hold_the_statistics(law):
    network = with_norm(nn.BatchNorm2d(4)).train()
    for parameter in network[:3].parameters():
        parameter.requires_grad_(False)
    assert names(law(network, X)) == ["0"]


@pytest.mark.parametrize("mode", [True, False])
def test_a_normalisation_without_running_statistics_is_never_in_the_trunk(mode):
    network = frozen_but(with_norm(nn.BatchNorm2d(4, track_running_stats=False)), "3").train(mode)
    assert names(cut(network, X[:1])) == ["0"]


@pytest.mark.parametrize(
    "options", [{}, {"affine": True}, {"affine": True, "track_running_stats": True}]
)
def test_a_frozen_instance_normalisation_is_in_the_trunk(law, options):
    assert names(law(frozen_but(with_norm(nn.InstanceNorm2d(4, **options)), "3"), X)) == ["2"]


def test_an_instance_normalisation_that_collects_statistics_is_in_the_graft(law):
    norm = nn.InstanceNorm2d(4, track_running_stats=True)
    network = unfreeze(freeze(with_norm(norm), "0"), "1")
    assert names(law(network, X)) == ["0"]


class Functional(nn.Module):
    """A batch norm written as a function, over activations or over weights."""

    def __init__(self, over_weights):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
        self.over_weights = over_weights

    def forward(self, x):
        if self.over_weights:
            weight = self.conv.weight.reshape(1, 4, -1)
            weight = functional.batch_norm(weight, None, None, training=True, momentum=0.0)
            x = functional.conv2d(x, weight.reshape_as(self.conv.weight))
        else:
            x = functional.batch_norm(self.conv(x), None, None, training=True)
        return self.head(x)


def test_a_functional_batch_norm_over_activations_is_never_in_the_trunk(law):
    assert names(law(frozen_but(Functional(over_weights=False), "head"), X)) == ["conv"]


def test_weight_standardisation_may_be_in_the_trunk(law):
    assert names(law(frozen_but(Functional(over_weights=True), "head"), X)) == ["conv2d"]


class Statistics(nn.Module):
    """A normalisation of one's own: functional, with buffers that move in train mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x):
        return functional.batch_norm(x, self.mean, self.var, training=self.training)


def test_functional_statistics_move_in_the_graft_as_in_the_network(law):
    network = with_norm(Statistics())
    split = law(frozen_but(network, "3"), X)
    assert names(split) == ["0"]
    split.graft(split.trunk(X))
    assert network[1].mean.abs().sum() > 0


class Residual(nn.Module):
    """`head(cheap(x) + branch(x))`: whether one side or both are stored is the question."""

    def __init__(self, width, branch):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.branch = branch
        self.head = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.branch(x))


def residual(width, *branch):
    network = Residual(width, nn.Sequential(*branch))
    network(X)
    return network


def test_a_small_residual_cut_in_two_stores_both_sides(law):
    network = residual(4, nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    assert names(law(frozen_but(network, "branch.1", "head"), X)) == ["stem", "branch.0"]


BIG = torch.randn(2, 3, 64, 64)


def big(*branch, width=8):
    network = Residual(width, nn.Sequential(*branch))
    network(BIG)
    return network


def test_a_large_residual_cut_in_two_repeats_a_cheap_frozen_step(law):
    expensive = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1), nn.Conv2d(64, 8, 3, padding=1))
    network = big(nn.Conv2d(8, 8, 1), expensive)
    assert names(law(frozen_but(network, "branch.1", "head"), BIG)) == ["x"]


def test_a_large_residual_cut_in_two_does_not_repeat_an_expensive_one(law):
    network = big(nn.Conv2d(8, 8, 9, padding=4), nn.Conv2d(8, 8, 1))
    assert names(law(frozen_but(network, "branch.1", "head"), BIG)) == ["stem", "branch.0"]


def test_early_freezing_stores_the_photo_where_it_is_cheaper(law):
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3), nn.Flatten(), nn.LazyLinear(2)
    )
    network(BIG)
    assert names(law(frozen_but(network, "1", "3"), BIG)) == ["input_1"]


def test_a_saving_that_is_small_is_not_worth_a_repeat(law):
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 32, 3), nn.Flatten(), nn.LazyLinear(2))
    network(BIG)
    assert names(law(frozen_but(network, "1", "3"), BIG)) == ["0"]


class Split(nn.Module):
    """A tuple on every way: what leads through it must not be overlooked."""

    def __init__(self):
        super().__init__()
        self.stem, self.other = nn.Conv2d(3, 64, 1), nn.Conv2d(3, 1, 1)
        self.scale, self.head = nn.Parameter(torch.ones(())), nn.Conv2d(32, 32, 3)

    def forward(self, x):
        left, right = self.stem(x).chunk(2, dim=1)
        return self.head((left + self.other(x)) * self.scale + right)


def test_ways_through_a_tuple_count(law):
    assert names(law(frozen_but(Split(), "scale", "head"), BIG)) == ["x"]


def test_a_frontier_of_a_photo_and_a_later_value_can_be_the_photo_alone(law):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(6, 8, 3, padding=1)
            self.last = nn.Conv2d(8, 8, 3)

        def forward(self, x):
            return self.last(self.head(torch.cat([x, self.frozen(x)], 1)))

    network = Both()
    assert names(law(frozen_but(network, "head", "last"), BIG)) == ["x"]


def test_a_layer_used_twice_is_stored_where_it_was_last_frozen(law):
    shared = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(192, 2))
    assert names(law(frozen_but(network, "4"), X)) == ["3"]
    assert names(law(frozen_but(network, "0"), X)) == ["input_1"]


def test_a_weight_shared_by_two_layers_trains_in_both(law):
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    network[2].weight = network[0].weight
    assert names(law(frozen_but(network, "2.weight"), X)) == ["input_1"]
    assert names(law(frozen_but(network, "2.bias"), X)) == ["1"]


def test_auxiliary_heads_that_train_alone_still_cut_in_eval_mode():
    network = models.googlenet(num_classes=5, init_weights=False, aux_logits=True)
    split = cut(frozen_but(network, "aux1.fc2").eval(), torch.zeros(1, 3, 64, 64))
    assert [tensor.shape for tensor in split.frontier] == [(5,)]
