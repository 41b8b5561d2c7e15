"""What cannot be followed stays one step, with its reason; the network itself is only looked at."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from budwood.errors import CutError
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze
from budwood.surgery.tracing import UntraceableError, trace

X = torch.randn(4, 6)


def frozen_but(network, *trains):
    return unfreeze(freeze(network, "*"), *trains).train()


class Branching(nn.Module):
    """Control flow on data, and a dropout."""

    def __init__(self):
        super().__init__()
        self.layer, self.drop = nn.Linear(6, 6), nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.layer(x))
        return x if x.sum() > 0 else -x


def chain(*middle):
    return nn.Sequential(nn.Linear(6, 6), *middle, nn.Linear(6, 2))


def test_control_flow_on_data_stays_one_step_with_its_reason(law):
    split = law(frozen_but(chain(Branching()), "2"), X)
    assert split.opaque == {
        "1": "symbolically traced variables cannot be used as inputs to control flow"
    }
    assert "1.drop" in split.silenced
    assert split.frontier[0].name == "1"


def test_the_modules_around_an_opaque_one_are_traced_all_the_same(law):
    inner = nn.Sequential(nn.Linear(6, 6), Branching(), nn.Linear(6, 6))
    split = law(frozen_but(chain(inner), "1.2", "2"), X)
    assert list(split.opaque) == ["1.1"]
    assert split.frontier[0].name == "1.1"


def test_an_opaque_module_that_trains_is_in_the_graft_and_keeps_its_dropout(law):
    split = law(frozen_but(chain(Branching()), "1.layer.bias", "2"), X)
    assert split.silenced == ()
    assert split.frontier[0].name == "0"


def test_an_opaque_frozen_module_behind_what_trains_runs_as_in_the_network(law):
    split = law(frozen_but(chain(Branching()), "0"), X)
    assert split.silenced == ()
    assert split.frontier[0].name == "input_1"


class Expanding(nn.Module):
    """Opaque, frozen, random in train mode, and so large that the graft repeats it."""

    def __init__(self):
        super().__init__()
        self.first, self.drop = nn.Conv2d(3, 64, 1), nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop(self.first(x))
        return x if x.sum() < 1e9 else -x


def test_a_frozen_opaque_module_that_the_graft_repeats_is_as_quiet_as_in_the_trunk(law):
    network = nn.Sequential(Expanding(), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    x = torch.randn(2, 3, 32, 32)
    split = law(frozen_but(network, "1", "2"), x)
    assert split.frontier[0].name == "input_1"
    assert "0.drop" in split.silenced
    network.train()
    split.graft.train()
    rows = split.trunk(x)
    assert torch.equal(split.graft(rows), split.graft(rows))


class OneStepInEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return self.norm(x) if x.sum() < 1e9 else x


@pytest.mark.parametrize(("held", "name"), [(True, "1"), (False, "0")])
def test_a_normalisation_inside_an_opaque_module_counts(law, held, name):
    network = frozen_but(chain(OneStepInEval()), "2")
    if not held:
        unfreeze(network, "1.norm")
        for parameter in network[1].parameters():
            parameter.requires_grad_(False)
    assert law(network, X).frontier[0].name == name


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False)


def test_checkpointing_keeps_its_gradients(law):
    law(frozen_but(chain(Checkpointed()), "1", "2"), X)
    law(frozen_but(chain(Checkpointed()), "2"), X)


class WithoutGradient(nn.Module):
    """Features without gradients, as many write it, and a head."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x):
        with torch.no_grad():
            x = self.body(x)
        return self.head(x)


def test_a_frozen_part_may_switch_gradients_off(law):
    split = law(frozen_but(WithoutGradient(), "head"), X)
    assert split.opaque == {}
    assert split.frontier[0].name == "body"


def test_a_part_that_trains_without_gradients_is_refused():
    with pytest.raises(CutError, match=r"body trains but runs without gradients.*Unfreeze only"):
        cut(WithoutGradient(), X[:1])


def test_cutting_where_gradients_are_off_makes_the_same_cut(law):
    network = frozen_but(chain(nn.ReLU()), "2")
    with torch.no_grad():
        split = cut(network, X[:1])
    assert split.graft(split.trunk(X)).requires_grad


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.layer(x).float()


def test_a_module_that_switches_autocast_stays_one_step(law):
    split = law(frozen_but(chain(Autocast()), "2"), X)
    assert split.opaque == {"1": "it switches autocast for a part of its forward"}


class Remembering(nn.Module):
    """Keeps what it saw, as feature extractors do."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(6, 6), None

    def forward(self, x):
        self.seen = self.layer(x)
        return self.seen + torch.arange(6.0)


def test_cutting_leaves_the_network_as_it_was():
    network = frozen_but(chain(Remembering(), nn.BatchNorm1d(6), Branching()), "4")
    network[2].eval()
    unfreeze(network, "2")
    network[3].drop.eval()
    before = copy.deepcopy(network)
    torch.manual_seed(3)
    random_state = torch.get_rng_state()
    split = cut(network, X[:1])
    split.trunk(X)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [m.training for m in network.modules()] == [m.training for m in before.modules()]
    for ours, theirs in zip(network.modules(), before.modules(), strict=True):
        assert vars(ours).keys() == vars(theirs).keys()
    assert network[1].seen is None
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])
    assert all(p.grad is None for p in network.parameters())


def test_random_numbers_drawn_by_the_outermost_forward_are_refused():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 2)

        def forward(self, x):
            return self.layer(x + torch.rand(1).item())

    with pytest.raises(UntraceableError, match="draws random numbers of its own"):
        trace(Noisy())


def test_functions_that_timm_marks_are_one_step(law):
    network = timm.create_model("resnet10t", num_classes=2)
    unfreeze(freeze(network, "*"), "layer4", "fc")
    split = law(network, torch.randn(2, 3, 32, 32))
    assert split.frontier[0].shape == (256, 2, 2)
