"""Bf16 is used only where it agrees and is faster, and a trial leaves the graft as it was."""

import time

import pytest
import torch
from torch import nn

from budwood.learning import step_trials
from budwood.learning.step_trials import settle_precision, settle_threads
from budwood.learning.training import Training, train_graft
from budwood.reporter import SILENT, Reporter


class Graft(nn.Sequential):
    def forward(self, frontier):
        return super().forward(frontier[0])


@pytest.fixture
def graft():
    torch.manual_seed(0)
    return Graft(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Flatten(),
        nn.Linear(8 * 36, 3),
    )  # fmt: skip


@pytest.fixture
def data(rows):
    x = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return rows(x), torch.arange(24) % 3


def loss_of(graft, data):
    rows, labels = data

    def loss(used):
        with torch.autocast("cpu", torch.bfloat16, enabled=used == "bf16"):
            return nn.functional.cross_entropy(graft(rows.take(range(24))), labels)

    return loss


@pytest.fixture
def always_faster(monkeypatch):
    monkeypatch.setattr(step_trials, "FASTER", float("inf"))


def settle(graft, loss, steps=1000, wanted="auto"):
    notes = []
    return settle_precision(graft.train(), loss, steps, wanted, Reporter(note=notes.append)), notes


def test_bf16_that_agrees_and_is_faster_is_used_and_told(graft, data, always_faster):
    chosen, (note,) = settle(graft, loss_of(graft, data))
    assert chosen == "bf16"
    assert note.startswith("Training in bf16: a step in bf16 takes")
    assert "the gradients differ by" in note


def test_bf16_that_is_slower_is_not_used(graft, data, monkeypatch):
    monkeypatch.setattr(step_trials, "FASTER", 0.0)
    chosen, (note,) = settle(graft, loss_of(graft, data))
    assert chosen == "fp32"
    assert note.startswith("Training in fp32")


def test_the_first_measurement_counts_so_that_one_seed_gives_one_result(graft, data, monkeypatch):
    ratios = iter([0.5, 2.0])
    real = step_trials._try

    def timed(graft, loss, used):
        value, slope, _ = real(graft, loss, used)
        return value, slope, next(ratios) if used == "bf16" else 1.0

    monkeypatch.setattr(step_trials, "_try", timed)
    chosen = [settle(graft, loss_of(graft, data)) for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert chosen[0][0] == "bf16"


def test_a_home_that_cannot_be_written_is_no_error(graft, data, always_faster, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step_trials, "whole_file", full)
    assert settle(graft, loss_of(graft, data))[0] == "bf16"


@pytest.mark.parametrize("factor", [1.2, -1.0, float("nan")])
def test_bf16_that_does_not_agree_is_not_used(factor, graft, data, always_faster):
    exact = loss_of(graft, data)

    def loss(used):
        return exact("fp32") * (factor if used == "bf16" else 1.0)

    assert settle(graft, loss)[0] == "fp32"


def test_a_gradient_that_differs_is_seen_though_the_loss_does_not(graft, data, always_faster):
    exact = loss_of(graft, data)

    def loss(used):
        value = exact("fp32")
        return value * 1.3 - value.detach() * 0.3 if used == "bf16" else value

    assert settle(graft, loss)[0] == "fp32"


def test_what_was_asked_for_is_used_without_a_trial(graft):
    def loss(used):
        raise AssertionError

    assert settle(graft, loss, wanted="bf16") == ("bf16", [])
    assert settle(graft, loss, wanted="fp32") == ("fp32", [])
    assert settle(graft, loss, steps=step_trials.WORTH_A_TRIAL - 1) == ("fp32", [])
    assert settle(Graft(nn.Linear(3, 3)), loss) == ("fp32", [])


def test_a_trial_leaves_the_graft_as_it_was(graft, data, always_faster):
    before = {name: tensor.clone() for name, tensor in graft.state_dict().items()}
    graft[1].eval()
    graft.training = True
    random = torch.get_rng_state()
    modes = [module.training for module in graft.modules()]
    settle_precision(graft, loss_of(graft, data), 1000, "auto", SILENT)
    assert [module.training for module in graft.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in graft.state_dict().items())
    assert all(parameter.grad is None for parameter in graft.parameters())


def test_training_in_bf16_learns_keeps_float32_weights_and_is_recorded(graft, data):
    graft[0].requires_grad_(False)
    frozen = graft[0].weight.clone()
    history = train_graft(graft, *data, Training(epochs=8, lr=0.01, precision="bf16"))
    assert {row["precision"] for row in history} == {"bf16"}
    assert history[-1]["loss"] < history[0]["loss"]
    assert {p.dtype for p in graft.parameters()} == {torch.float32}
    assert torch.equal(graft[0].weight, frozen)


def test_a_trial_does_not_change_what_is_trained(graft, data, monkeypatch):
    start = {name: tensor.clone() for name, tensor in graft.state_dict().items()}
    monkeypatch.setattr(step_trials, "FASTER", 0.0)
    monkeypatch.setattr(step_trials, "WORTH_A_TRIAL", 1)
    notes = []
    tried = train_graft(graft, *data, Training(epochs=2), reporter=Reporter(note=notes.append))
    after = {name: tensor.clone() for name, tensor in graft.state_dict().items()}
    graft.load_state_dict(start)
    plain = train_graft(graft, *data, Training(epochs=2, precision="fp32"))
    assert len(notes) == 1
    assert [row["loss"] for row in tried] == [row["loss"] for row in plain]
    assert all(torch.equal(tensor, after[name]) for name, tensor in graft.state_dict().items())


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def loss_with(layer, seconds):
    """A loss that takes so long on one thread, and on all."""

    def loss(_):
        time.sleep(seconds[0] if torch.get_num_threads() == 1 else seconds[1])
        return layer(torch.ones(2, 8)).sum()

    return loss


@pytest.mark.parametrize(
    ("alone", "together", "expected"), [(0.001, 0.004, True), (0.004, 0.001, False)]
)
def test_a_small_step_runs_on_the_threads_that_are_faster(
    two_threads, alone, together, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv("BUDWOOD_HOME", str(tmp_path))
    layer = nn.Linear(8, 3)
    assert settle_threads(layer, loss_with(layer, (alone, together)), 1000, 2) is expected
    assert torch.get_num_threads() == 2
    assert layer.weight.grad is None
    # Measured once: the same seed has to give the same numbers.
    assert settle_threads(layer, loss_with(layer, (together, alone)), 1000, 2) is expected


def test_few_steps_run_on_one_thread_and_large_ones_on_all_without_a_trial(two_threads):
    def loss(_):
        raise AssertionError

    assert settle_threads(nn.Linear(8, 3), loss, step_trials.WORTH_A_TRIAL - 1, 2)
    assert not settle_threads(nn.Linear(8, 3), loss, 1000, step_trials.SMALL_STEP)
    assert not settle_threads(nn.Conv2d(3, 3, 3), loss, 10, 2)
