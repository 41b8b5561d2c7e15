"""Random steps: off inside the trunk, on behind the last frozen layer, never baked in."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.tracing import watching_randomness

X = torch.randn(4, 6)


def frozen_but(network, *trains):
    return unfreeze(freeze(network, "*"), *trains).train()


class Body(nn.Module):
    """Two layers with something in front of, between or behind them."""

    def __init__(self, before=None, between=None, after=None):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.before, self.between, self.after = before, between, after

    def forward(self, x):
        x = self.first(x if self.before is None else self.before(self, x))
        x = self.second(x if self.between is None else self.between(self, x))
        return self.head(x if self.after is None else self.after(self, x))


def dropped(self, x):
    return functional.dropout(x, 0.5, self.training)


def differs(graft, rows):
    """Whether the graft is random, as dropout in it must make it."""
    return not torch.equal(graft(rows), graft(rows))


@pytest.mark.parametrize(
    "drop",
    [
        dropped,
        lambda self, x: functional.dropout(x, p=0.5, training=self.training, inplace=True),
        lambda self, x: torch.dropout(x, 0.5, self.training),
        lambda self, x: functional.alpha_dropout(x, 0.5, self.training),
        lambda self, x: functional.dropout1d(x, 0.5, self.training),
    ],
)
def test_functional_dropout_is_silenced_before_a_frozen_layer_and_on_behind_the_last(law, drop):
    inside = law(frozen_but(Body(between=drop), "head"), X)
    assert inside.silenced == ("",)
    assert [t.name for t in inside.frontier] == ["second"]
    behind = law(frozen_but(Body(after=drop), "head"), X)
    assert behind.silenced == ()
    assert [t.name for t in behind.frontier] == ["second"]
    assert differs(behind.graft, behind.trunk(X))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dropout(0.5),
        nn.Dropout(0.5, inplace=True),
        nn.AlphaDropout(0.5),
        StochasticDepth(0.5, "row"),
    ],
)
def test_a_dropout_layer_is_silenced_before_a_frozen_layer_and_on_behind_the_last(law, layer):
    network = nn.Sequential(nn.Linear(6, 6), layer, nn.Linear(6, 6), nn.Linear(6, 2))
    inside = law(frozen_but(network, "3"), X)
    assert (inside.silenced, inside.frontier[0].name) == (("1",), "2")
    behind = law(frozen_but(network, "2", "3"), X)
    assert (behind.silenced, behind.frontier[0].name) == ((), "0")
    assert differs(behind.graft, behind.trunk(X))


def test_dropout_on_the_photo_itself_belongs_to_the_trunk_if_a_frozen_layer_follows(law):
    split = law(frozen_but(Body(before=dropped), "head"), X)
    assert split.frontier[0].name == "second"


@pytest.mark.parametrize("layer", [nn.Dropout(0.0), StochasticDepth(0.0, "row")])
def test_dropout_with_rate_zero_is_an_ordinary_step(law, layer):
    split = law(frozen_but(nn.Sequential(nn.Linear(6, 6), layer, nn.Linear(6, 2)), "2"), X)
    assert split.silenced == ()
    assert split.frontier[0].name == "1"


def test_functional_dropout_with_rate_zero_is_an_ordinary_step(law):
    split = law(frozen_but(Body(after=lambda self, x: functional.dropout(x, 0.0)), "head"), X)
    assert split.frontier[0].name == "dropout"


def test_a_random_relu_in_the_trunk_is_the_one_of_eval_mode(law):
    network = frozen_but(
        nn.Sequential(nn.Linear(6, 6), nn.RReLU(), nn.Linear(6, 6), nn.Linear(6, 2)), "3"
    )
    split = law(network, X)
    assert split.silenced == ("1",)
    assert torch.equal(split.trunk(X)[0], network.eval()[:3](X))


def test_a_functional_random_relu_is_in_the_graft(law):
    split = law(
        frozen_but(Body(between=lambda s, x: functional.rrelu(x, training=s.training)), "head"), X
    )
    assert split.frontier[0].name == "first"


def test_a_pooling_that_is_random_in_eval_mode_too_is_in_the_graft():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.FractionalMaxPool2d(2, 3),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(36, 2),
    )
    for mode in (True, False):
        split = cut(frozen_but(network, "4").train(mode), torch.zeros(1, 3, 8, 8))
        assert split.frontier[0].name == "0"


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.attention(x, x, x)[0].mean(1))


def test_attention_with_dropout_is_silenced_in_the_trunk(law):
    split = law(frozen_but(Attention(), "head"), torch.randn(4, 3, 6))
    assert "attention" in split.silenced
    assert [t.shape for t in split.frontier] == [(6,)]


def test_attention_that_trains_keeps_its_dropout(law):
    split = law(frozen_but(Attention(), "attention"), torch.randn(4, 3, 6))
    assert split.silenced == ()
    assert differs(split.graft, split.trunk(torch.randn(4, 3, 6)))


class FunctionalAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj, self.head = nn.Linear(6, 18), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        rate = 0.5 if self.training else 0.0
        x = functional.scaled_dot_product_attention(q, k, v, dropout_p=rate)
        return self.head(self.proj(x.squeeze(1)).mean(1))


def test_functional_attention_with_dropout_is_silenced_in_the_trunk(law):
    split = law(frozen_but(FunctionalAttention(), "head"), torch.randn(4, 3, 6))
    assert (split.silenced, split.frontier[0].name) == (("",), "mean")


class Noise(nn.Module):
    """Numbers drawn in a forward of one's own: in train mode only, or always."""

    def __init__(self, draw, always=False):
        super().__init__()
        self.draw, self.always = draw, always

    def forward(self, x):
        return x * self.draw() if self.training or self.always else x


DRAWS = {
    "torch": lambda: torch.rand(1),
    "torch, as a number": lambda: torch.rand(1).item(),
    "python": random.random,
    "numpy": lambda: float(np.random.rand()),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_noise_of_ones_own_is_silenced_before_a_frozen_layer_and_on_behind_the_last(draw):
    network = nn.Sequential(nn.Linear(6, 6), Noise(DRAWS[draw]), nn.Linear(6, 6), nn.Linear(6, 2))
    inside = cut(frozen_but(network, "3"), X)
    assert "draws random numbers" in inside.opaque["1"]
    assert (inside.silenced, inside.frontier[0].name) == (("1",), "2")
    assert torch.equal(inside.trunk(X)[0], network[2](network[0](X)))
    behind = cut(frozen_but(network, "2", "3"), X)
    assert (behind.silenced, behind.frontier[0].name) == ((), "0")
    assert differs(behind.graft, behind.trunk(X))


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("draw", DRAWS)
def test_noise_in_every_mode_is_never_in_the_trunk(draw, mode):
    noise = Noise(DRAWS[draw], always=True)
    network = nn.Sequential(nn.Linear(6, 6), noise, nn.Linear(6, 6), nn.Linear(6, 2))
    split = cut(frozen_but(network, "3").train(mode), X)
    assert (split.silenced, split.frontier[0].name) == ((), "0")
    assert differs(split.graft, split.trunk(X))


@pytest.mark.parametrize(
    "noisy",
    [
        lambda self, x: x + torch.randn_like(x),
        lambda self, x: x + torch.rand(x.shape),
        lambda self, x: torch.normal(x, 1.0),
        lambda self, x: x + torch.empty_like(x).uniform_(),
    ],
)
def test_a_traced_call_that_draws_is_never_in_the_trunk(noisy):
    split = cut(frozen_but(Body(between=noisy), "head"), X)
    assert split.frontier[0].name == "first"
    assert differs(split.graft, split.trunk(X))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return functional.dropout(self.layer(x), 0.5, self.training)


def test_a_block_that_runs_twice_is_silenced_by_its_name(law):
    block = Block()
    split = law(frozen_but(nn.Sequential(block, block, nn.Linear(6, 6), nn.Linear(6, 2)), "3"), X)
    assert split.silenced == ("0",)


def test_watching_gives_every_generator_back():
    torch.manual_seed(0)
    with watching_randomness() as quiet:
        torch.zeros(1)
    assert quiet == [False]
    for draw in DRAWS.values():
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
        with watching_randomness() as drawn:
            draw()
        assert drawn == [True]
        assert torch.equal(states[0], torch.get_rng_state())
        assert states[1:] == (random.getstate(), np.random.get_state()[1].tobytes())
