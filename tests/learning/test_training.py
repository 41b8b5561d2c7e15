"""The one training loop: what it learns, what it refuses, and that it can be repeated."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from budwood.errors import ConfigError, DataError
from budwood.learning.optimizers import FusedOptimizer
from budwood.learning.streaming import predict_logits, top1
from budwood.learning.training import Training, batches, total_loss, train_graft
from budwood.reporter import Reporter
from budwood.threads import one_torch_thread


class Graft(nn.Sequential):
    """Layers behind a frontier of one tensor, as a cut gives them."""

    def forward(self, frontier):
        return super().forward(frontier[0])


@pytest.fixture
def mlp():
    """`mlp(*layers)`: a small graft with the same weights each time."""

    def make(*layers):
        torch.manual_seed(1)
        return Graft(nn.Linear(8, 16), *layers, nn.ReLU(), nn.Linear(16, 3))

    return make


@pytest.fixture
def data(rows, clusters):
    x, y = clusters(60, 8, 3, spread=1.0)
    return rows(x), y


def weights(graft):
    return torch.cat([p.detach().flatten() for p in graft.parameters()])


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_the_loss_falls_and_separable_classes_are_learned(rows, clusters, mlp):
    x, y = clusters(60, 8, 3)
    graft = mlp()
    history = train_graft(graft, rows(x), y, Training(epochs=10, lr=0.01))
    losses = [row["loss"] for row in history]
    assert losses[-1] < losses[4] < losses[0]
    assert (predict_logits(graft, rows(x), 32).argmax(1) == y).float().mean() > 0.95


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_every_optimizer_trains(optimizer, data, mlp):
    history = train_graft(mlp(), *data, Training(epochs=8, lr=0.02, optimizer=optimizer))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


@pytest.mark.parametrize(
    ("name", "theirs", "decay"),
    [
        ("adamw", torch.optim.AdamW, {"weight_decay": 0.1}),
        ("adam", torch.optim.Adam, {}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    ],
)
def test_optimizers_are_torchs_own_to_the_bit(data, mlp, name, theirs, decay):
    ours, plain = mlp(), mlp()
    config = Training(
        epochs=4, lr=0.01, optimizer=name, weight_decay=0.1, batch_size=20, schedule="constant"
    )
    history = train_graft(ours, *data, config)
    optimizer = theirs(plain.parameters(), 0.01, fused=True, **decay)
    order = torch.Generator().manual_seed(0)
    with one_torch_thread():
        for _ in history:
            for batch in batches(len(data[0]), 20, order):
                optimizer.zero_grad()
                cross_entropy(plain(data[0].take(batch)), data[1][batch]).backward()
                optimizer.step()
    assert torch.equal(weights(ours), weights(plain))


def test_a_parameter_without_a_gradient_stays_until_it_has_one():
    for name in ("adamw", "sgd"):
        first, second = (nn.Parameter(torch.ones(3)) for _ in range(2))
        optimizer = FusedOptimizer([first, second], name, 0.0)
        optimizer.step(0.1)
        first.grad = torch.ones(3)
        optimizer.step(0.1)
        assert first[0] < 1 == second[0]
        second.grad = torch.ones(3)
        optimizer.step(0.1)
        assert torch.allclose(second, torch.full((3,), 0.9))
        optimizer.zero_grad()
        assert first.grad is second.grad is None


def test_training_does_not_load_torchs_compiler():
    code = """
import sys, torch
from budwood.features.rows import RowsInMemory
from budwood.learning.training import Training, train_graft
class Graft(torch.nn.Linear):
    def forward(self, rows):
        return super().forward(rows[0])
rows = RowsInMemory((torch.randn(40, 3),), (1,))
train_graft(Graft(3, 2), rows, torch.arange(40) % 2, Training(epochs=2))
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_seed_gives_the_same_bits_and_another_others(data, mlp):
    grafts = [mlp(nn.Dropout(0.5)) for _ in range(3)]
    seeds = [0, 0, 1]
    histories = [
        train_graft(graft, *data, Training(epochs=3, seed=seed))
        for graft, seed in zip(grafts, seeds, strict=True)
    ]
    assert torch.equal(weights(grafts[0]), weights(grafts[1]))
    assert numbers(histories[0]) == numbers(histories[1])
    assert not torch.equal(weights(grafts[0]), weights(grafts[2]))


def test_the_global_random_state_is_neither_used_nor_touched(data, mlp):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = mlp(nn.Dropout(0.5))
    torch.set_rng_state(before)
    train_graft(one, *data, Training(epochs=2))
    assert torch.equal(torch.get_rng_state(), before)
    other = mlp(nn.Dropout(0.5))
    torch.manual_seed(99)
    train_graft(other, *data, Training(epochs=2))
    assert torch.equal(weights(one), weights(other))


@given(n=st.integers(1, 200), size=st.integers(2, 40), seed=st.integers(0, 9))
def test_batches_are_a_partition_without_a_batch_of_one(n, size, seed):
    parts = list(batches(n, size, torch.Generator().manual_seed(seed)))
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert all(len(part) <= size + 1 for part in parts)
    assert n == 1 or min(len(part) for part in parts) > 1


def test_batches_of_one_are_made_where_they_are_asked_for():
    assert [len(part) for part in batches(3, 1, torch.Generator())] == [1, 1, 1]


def test_batches_come_in_another_order_each_epoch():
    order = torch.Generator().manual_seed(0)
    first, second = (torch.cat(list(batches(50, 8, order))) for _ in range(2))
    assert not torch.equal(first, second)


def test_auxiliary_classifiers_count_three_tenths():
    labels = torch.tensor([0, 1])
    main = torch.tensor([[2.0, 0.0], [0.0, 2.0]])  # loss log(1 + e^-2) = 0.126928
    aux = torch.tensor([[0.0, 0.0], [0.0, 0.0]])  # loss log 2 = 0.693147
    assert float(total_loss(main, labels)) == pytest.approx(0.126928, abs=1e-6)
    expected = 0.126928 + 2 * 0.3 * 0.693147
    assert float(total_loss((main, aux, aux), labels)) == pytest.approx(expected, abs=1e-6)
    assert float(total_loss((main, None, None), labels)) == pytest.approx(0.126928, abs=1e-6)


def test_the_cosine_schedule_falls_from_the_peak_to_nearly_zero(data, mlp):
    rates = [r["lr"] for r in train_graft(mlp(), *data, Training(epochs=20, lr=0.1))]
    assert rates[0] == 0.1
    assert rates == sorted(rates, reverse=True)
    assert rates[10] == pytest.approx(0.05)
    assert 0 < rates[-1] < 0.001


def test_the_constant_schedule_stays(data, mlp):
    config = Training(epochs=8, lr=0.1, schedule="constant", optimizer="sgd")
    assert {row["lr"] for row in train_graft(mlp(), *data, config)} == {0.1}


def test_the_history_has_a_row_an_epoch_and_each_is_told(data, mlp):
    told = []
    history = train_graft(mlp(), *data, Training(epochs=2), reporter=Reporter(epoch=told.append))
    assert told == history
    assert [list(row) for row in history] == [["epoch", "loss", "lr", "precision", "seconds"]] * 2
    assert [row["epoch"] for row in history] == [1, 2]
    with_val = train_graft(mlp(), *data, Training(epochs=1), lambda: (1.0, 0.5))
    assert {"val_loss": 1.0, "val_top1": 0.5, "best": True}.items() <= with_val[0].items()


def test_the_loss_of_an_epoch_is_the_mean_over_photos_not_over_batches(data, mlp):
    config = Training(epochs=1, lr=1e-12, batch_size=25, optimizer="adam")
    (row,) = train_graft(mlp(), *data, config)
    expected = cross_entropy(mlp()(data[0].take(range(60))), data[1]).detach()
    assert row["loss"] == pytest.approx(float(expected), rel=1e-5)


def test_patience_stops_and_restores_the_best_epoch(data, mlp):
    graft = mlp()
    losses, seen = iter([0.9, 0.5, 0.7, 0.6, 0.4]), []

    def validate():
        seen.append(weights(graft))
        return next(losses), 0.0

    history = train_graft(graft, *data, Training(epochs=9, patience=2), validate)
    assert [row["best"] for row in history] == [True, True, False, False]
    assert torch.equal(weights(graft), seen[1])


def test_patience_restores_running_statistics_too(data, mlp):
    graft = mlp(nn.BatchNorm1d(16))
    losses, seen = iter([0.5, 0.6]), []

    def validate():
        seen.append(graft[1].running_mean.clone())
        return next(losses), 0.0

    train_graft(graft, *data, Training(epochs=9, patience=1), validate)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(graft[1].running_mean, seen[0])


def test_without_patience_the_last_epoch_stays(data, mlp):
    graft, losses, seen = mlp(), iter([0.1, 0.9]), []

    def validate():
        seen.append(weights(graft))
        return next(losses), 0.0

    train_graft(graft, *data, Training(epochs=2), validate)
    assert torch.equal(weights(graft), seen[-1])


def test_validation_photos_change_nothing_that_is_trained(rows, clusters, data, mlp):
    one, other = mlp(nn.Dropout(0.5)), mlp(nn.Dropout(0.5))
    x, y = clusters(30, 8, 3, seed=4)

    def validate():
        logits = predict_logits(other, rows(x), 32)
        return float(cross_entropy(logits, y)), 0.0

    train_graft(one, *data, Training(epochs=3))
    train_graft(other, *data, Training(epochs=3), validate)
    assert torch.equal(weights(one), weights(other))


def test_dropout_is_on_while_training_and_off_while_predicting(data, mlp):
    graft, modes = mlp(nn.Dropout(0.9)), []
    graft[1].register_forward_hook(lambda module, i, o: modes.append(module.training))
    train_graft(graft, *data, Training(epochs=1))
    assert all(modes)
    modes.clear()
    one, two = predict_logits(graft, data[0], 32), predict_logits(graft, data[0], 32)
    assert not any(modes)
    assert torch.equal(one, two)


def test_batch_normalisation_in_the_graft_learns_its_statistics(data, mlp):
    graft = mlp(nn.BatchNorm1d(16))
    train_graft(graft, *data, Training(epochs=2, batch_size=59))  # 60 = 59 + 1: no batch of one
    assert int(graft[1].num_batches_tracked) == 2
    assert graft[1].running_mean.abs().sum() > 0


def test_frozen_layers_of_a_graft_are_left_as_they_are(data, mlp):
    graft = mlp()
    graft[0].requires_grad_(False)
    before = graft[0].weight.clone()
    train_graft(graft, *data, Training(epochs=2, weight_decay=0.5))
    assert torch.equal(graft[0].weight, before)


def test_rows_are_predicted_in_order_in_bounded_parts(rows, mlp):
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    graft, sizes = mlp(), []
    graft[0].register_forward_hook(lambda module, i, o: sizes.append(len(o)))
    logits = predict_logits(graft, rows(x), 4 * 2**20)  # 16 rows make 64 MB
    assert sizes == [16, 16, 16, 2]
    torch.testing.assert_close(logits, graft((x,)))
    assert not logits.is_inference()


def test_top1_is_counted_part_by_part(rows, clusters, mlp):
    x, y = clusters(50, 8, 3)
    graft = mlp()
    expected = float((graft((x,)).argmax(1) == y).double().mean())
    assert top1(graft, rows(x), 4 * 2**20, y) == pytest.approx(expected)


def test_a_loss_that_is_no_number_is_an_error(rows, mlp):
    x = torch.full((4, 8), float("nan"))
    with pytest.raises(DataError, match=r"The loss is nan in epoch 1\. Try a lower --lr"):
        train_graft(mlp(), rows(x), torch.tensor([0, 1, 2, 0]), Training())


def test_a_validation_loss_that_is_no_number_is_an_error(data, mlp):
    with pytest.raises(DataError, match=r"validation loss is nan in epoch 1\. Try a lower --lr"):
        train_graft(mlp(), *data, Training(patience=1), lambda: (float("nan"), 0.0))


def test_a_graft_in_which_nothing_trains_is_an_error(data, mlp):
    with pytest.raises(ConfigError, match=r"0 parameters train\. Unfreeze at least the head"):
        train_graft(mlp().requires_grad_(False), *data, Training())


def test_patience_without_validation_photos_is_an_error(data, mlp):
    with pytest.raises(ConfigError, match=r"Add a val folder or --val 0\.1"):
        train_graft(mlp(), *data, Training(patience=1))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"lr": 0.0}, r"lr must be above 0, got 0\.0"),
        ({"lr": float("nan")}, "lr must be above 0, got nan"),
        ({"weight_decay": -0.1}, r"weight_decay must not be negative, got -0\.1"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"optimizer": "adamax"}, r"'adamax'\. adamw, adam or sgd"),
        ({"precision": "int8"}, r"'int8'\. auto, fp32 or bf16"),
        ({"schedule": "step"}, r"'step'\. cosine or constant"),
    ],
)
def test_impossible_settings_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        Training(**options)
