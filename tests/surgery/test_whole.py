"""A network whose outermost code cannot be traced is cut in front of its last module, or not."""

import pytest
import torch
from torch import nn

from budwood.errors import CutError
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze

X = torch.randn(4, 6)


class Outermost(nn.Module):
    """Control flow on data in the outermost forward; `after` may follow the head."""

    def __init__(self, head=None, after=None, body=None):
        super().__init__()
        self.body = body or nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        self.head = head or nn.Linear(6, 2)
        self.after = after

    def forward(self, x):
        x = self.body(x)
        x = x if x.sum() > 0 else -x
        x = self.head(x)
        return x if self.after is None else self.after(x)


def head_only(network):
    return unfreeze(freeze(network, "*"), "head").train()


REFUSED = r"cannot be traced \(symbolically traced.*Unfreeze only the head, or pass a network"


def test_it_is_cut_in_front_of_its_last_module(law):
    split = law(head_only(Outermost()), X)
    assert [(t.name, t.shape) for t in split.frontier] == [("head", (6,))]
    assert split.silenced == ("body", "body.0", "body.2")
    assert list(split.opaque) == [""]
    assert "control flow" in split.opaque[""]


def test_dropout_in_the_last_module_stays_on(law):
    split = law(head_only(Outermost(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)))), X)
    assert split.frontier[0].name == "head"
    rows = split.trunk(X)
    assert not torch.equal(split.graft(rows), split.graft(rows))


def test_an_in_place_layer_in_the_last_module_leaves_the_rows_alone(law):
    law(head_only(Outermost(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 2)))), X)


def test_a_part_of_the_last_module_may_train(law):
    head = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    network = unfreeze(freeze(Outermost(head), "*"), "head.2")
    assert law(network, X).frontier[0].name == "head.2"


def test_its_trunk_stays_in_eval_mode():
    network = head_only(Outermost())
    split = cut(network, X[:1])
    network.train()
    assert torch.equal(split.trunk(X)[0], split.trunk(X)[0])


def test_its_modes_and_random_numbers_are_left_as_they_were():
    network = head_only(Outermost())
    network.body[2].eval()
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    cut(network, X[:1])
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_training_more_than_the_last_module_is_refused():
    with pytest.raises(CutError, match=REFUSED):
        cut(unfreeze(freeze(Outermost(), "*"), "head", "body.0"), X[:1])


@pytest.mark.parametrize("after", [lambda x: x * 2, lambda x: (x, x)])
def test_work_after_the_last_module_is_refused(after):
    with pytest.raises(CutError, match=REFUSED):
        cut(head_only(Outermost(after=after)), X[:1])


def test_a_last_module_that_takes_more_than_one_tensor_is_refused():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Bilinear(6, 6, 2)

        def forward(self, x):
            return self.head(x, x if x.sum() > 0 else -x)

    with pytest.raises(CutError, match=REFUSED):
        cut(Pair(), X[:1])


def test_a_last_module_that_runs_twice_is_refused():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x):
            x = self.head(self.body(x))
            return self.head(x if x.sum() > 0 else -x)

    with pytest.raises(CutError, match=REFUSED):
        cut(head_only(Twice()), X[:1])


def test_a_last_module_under_two_names_is_refused():
    network = Outermost()
    network.alias = network.head

    class Aliased(Outermost):
        def forward(self, x):
            x = self.body(x)
            return self.alias(x if x.sum() > 0 else -x)

    network.__class__ = Aliased
    with pytest.raises(CutError, match="Register that module under one name only"):
        cut(head_only(network), X[:1])


def test_random_numbers_in_front_of_the_last_module_are_refused():
    class Noisy(Outermost):
        def forward(self, x):
            return self.head(self.body(x) + torch.rand(1).item())

    with pytest.raises(CutError, match=r"pass a network whose forward torch\.fx can trace"):
        cut(head_only(Noisy()), X[:1])


def test_batch_statistics_in_front_of_the_last_module_are_refused():
    body = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, affine=False))
    network = unfreeze(freeze(Outermost(body=body), "body.0"), "head")
    with pytest.raises(CutError, match="Freeze its normalisation"):
        cut(network.train(), X[:2])
    assert cut(head_only(network), X[:1]).frontier[0].name == "head"
