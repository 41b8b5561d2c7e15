"""The probe is the optimum that scikit-learn finds, and finds its penalty by an honest rule."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from budwood.data.splitting import make_folds
from budwood.errors import ConfigError, DataError
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.regularisation import (
    L2_STRENGTHS_PER_FEATURE,
    L2Fits,
    one_standard_error,
)


def by_scikit_learn(x, y, l2_strength, bias=True):
    """Weights and offset on raw features, of the same objective."""
    scaler = StandardScaler(with_mean=bias).fit(x)
    # With two classes scikit-learn fits one column w = w1 - w0, whose square counts half.
    binary = len(np.unique(y)) == 2
    model = LogisticRegression(
        C=(2 if binary else 1) / l2_strength, tol=1e-10, max_iter=20000, fit_intercept=bias
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(scaler.transform(x), y)
    weight, offset = model.coef_, model.intercept_ if bias else np.zeros(len(model.coef_))
    if binary:
        weight, offset = (
            np.stack([-weight[0], weight[0]]) / 2,
            np.array([-offset[0], offset[0]]) / 2,
        )
    weight = weight / scaler.scale_
    return weight, offset - (weight @ scaler.mean_ if bias else 0)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def assert_same_probabilities(x, y, l2_strength, bias=True, tolerance=1e-4):
    k = int(y.max()) + 1
    probe = fit_probe(
        torch.from_numpy(x), torch.from_numpy(y), k, Probe(l2_strength=l2_strength), bias
    )
    weight, offset = by_scikit_learn(x.astype(np.float64), y, l2_strength, bias)
    ours = softmax(
        x.astype(np.float64) @ probe.weight.double().numpy().T + probe.bias.double().numpy()
    )
    theirs = softmax(x.astype(np.float64) @ weight.T + offset)
    np.testing.assert_allclose(ours, theirs, atol=tolerance)
    return probe, weight


def features(seed, n, d):
    random = np.random.default_rng(seed)
    return (random.normal(size=(n, d)) * random.uniform(0.3, 3, d)).astype(np.float32)


def classes(seed, n, k):
    """`n` labels, every one of `k` classes there at least once."""
    random = np.random.default_rng(seed)
    return random.permutation(np.concatenate([np.arange(k), random.integers(0, k, n - k)]))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(6, 40),
    d=st.integers(1, 60),
    k=st.integers(2, 5),
    l2_strength=st.floats(0.1, 100),
    bias=st.booleans(),
)
def test_is_the_optimum_that_scikit_learn_finds(seed, n, d, k, l2_strength, bias):
    x, y = features(seed, n, d), classes(seed, n, k)
    probe, weight = assert_same_probabilities(x, y, l2_strength, bias)
    np.testing.assert_allclose(
        probe.weight.numpy(), weight, atol=2e-4 * max(1, np.abs(weight).max())
    )


@pytest.mark.parametrize("l2_strength", [1e-3, 1e4])
def test_extreme_penalties_are_met_too(l2_strength):
    assert_same_probabilities(features(1, 40, 6), classes(1, 40, 3), l2_strength, tolerance=1e-3)


def test_constant_features_change_nothing():
    x, y = features(2, 30, 5), classes(2, 30, 3)
    with_constants = np.concatenate([x, np.full((30, 2), 7.3, np.float32)], 1)
    plain, _ = assert_same_probabilities(x, y, 1.0)
    probe, _ = assert_same_probabilities(with_constants, y, 1.0)
    torch.testing.assert_close(probe.weight[:, :5], plain.weight, rtol=1e-3, atol=1e-5)


def test_features_that_are_all_constant_leave_the_class_shares():
    y = torch.tensor([0, 0, 0, 1])
    probe = fit_probe(torch.full((4, 3), 2.5), y, 2, Probe(l2_strength=1.0))
    probabilities = (probe.weight @ torch.full((3,), 2.5) + probe.bias).softmax(0)
    torch.testing.assert_close(probabilities, torch.tensor([0.75, 0.25]), rtol=1e-3, atol=1e-3)


def test_a_class_with_a_single_photo_is_learned():
    x, y = features(3, 30, 5), np.array([2] + [0, 1] * 14 + [0])
    assert_same_probabilities(x, y, 1.0)
    probe = fit_probe(torch.from_numpy(x), torch.from_numpy(y), 3)
    assert torch.isfinite(probe.weight).all()


@pytest.mark.parametrize("twist", ["duplicated", "collinear"])
def test_dependent_features_are_no_trouble(twist):
    x, y = features(4, 30, 5), classes(4, 30, 3)
    more = x if twist == "duplicated" else (x[:, :1] * 2 - x[:, 1:2]).repeat(3, 1)
    assert_same_probabilities(np.concatenate([x, more], 1), y, 1.0)


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_the_scale_of_the_features_does_not_matter(scale):
    x, y = features(5, 30, 5), classes(5, 30, 3)
    probe, _ = assert_same_probabilities(x * np.float32(scale), y, 1.0)
    plain = fit_probe(torch.from_numpy(x), torch.from_numpy(y), 3, Probe(l2_strength=1.0))
    torch.testing.assert_close(probe.weight * scale, plain.weight, rtol=1e-3, atol=1e-5)


def test_features_far_from_zero_are_standardised_exactly():
    x, y = features(6, 30, 5) + np.float32(300), classes(6, 30, 3)
    assert_same_probabilities(x, y, 1.0, tolerance=2e-3)


def test_the_same_features_give_the_same_bits(clusters):
    x, y = clusters(80, 30, 4, spread=2.0)
    one, two = fit_probe(x, y, 4), fit_probe(x, y, 4)
    assert torch.equal(one.weight, two.weight)
    assert torch.equal(one.bias, two.bias)
    assert one.candidates == two.candidates


def test_separable_classes_are_told_apart(clusters):
    x, y = clusters(90, 8, 3)
    probe = fit_probe(x[:60], y[:60], 3)
    right = (x[60:] @ probe.weight.T + probe.bias).argmax(1) == y[60:]
    assert right.float().mean() > 0.95
    assert probe.cross_validated_top1 > 0.95


def test_a_given_penalty_is_used_and_nothing_is_cross_validated(clusters):
    probe = fit_probe(*clusters(), 3, Probe(l2_strength=3.5))
    assert (probe.l2_strength, probe.candidates, probe.cross_validated_top1) == (3.5, (), None)


def test_penalties_are_tried_strongest_first(clusters):
    probe = fit_probe(*clusters(60, 8, 3), 3)
    l2_strengths = [candidate["l2_strength"] for candidate in probe.candidates]
    assert l2_strengths == [8 * share for share in L2_STRENGTHS_PER_FEATURE][: len(l2_strengths)]
    assert l2_strengths == sorted(l2_strengths, reverse=True)
    assert probe.l2_strength in l2_strengths


def test_held_out_loss_is_that_of_folds_fitted_without_the_photos(clusters):
    x, y = clusters(60, 8, 3, spread=2.0)
    probe = fit_probe(x, y, 3)
    chosen = probe.candidates[4]
    fold = make_folds(y.numpy())
    z = StandardScaler().fit_transform(x.double().numpy())
    losses = np.empty(60)
    for f in np.unique(fold):
        out = fold == f
        model = LogisticRegression(
            C=60 / (~out).sum() / chosen["l2_strength"], tol=1e-8, max_iter=5000
        )
        log_p = model.fit(z[~out], y.numpy()[~out]).predict_log_proba(z[out])
        losses[out] = -log_p[np.arange(out.sum()), y.numpy()[out]]
    assert chosen["loss"] == pytest.approx(losses.mean(), rel=1e-2)
    assert chosen["standard_error"] == pytest.approx(losses.std(ddof=1) / 60**0.5, rel=1e-2)


def test_features_without_meaning_get_a_strong_penalty():
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(100, 50, generator=random)
    probe = fit_probe(noise, torch.arange(100) % 2, 2)
    assert probe.l2_strength == max(candidate["l2_strength"] for candidate in probe.candidates)


def tried(l2_strength, losses):
    losses = np.array(losses)
    return L2Fits(l2_strength, torch.zeros(1), torch.zeros(1), losses, losses < 1)


def test_the_strongest_penalty_within_one_standard_error_of_the_best_is_chosen():
    hard = np.tile([0.0, 0.8], 50)  # its mean has a standard error of 0.04
    rows = [
        tried(100.0, hard + 0.1),
        tried(10.0, hard + 0.02),
        tried(1.0, hard),
        tried(0.1, hard + 1),
    ]
    assert one_standard_error(rows).l2_strength == 10.0
    easy = [tried(t.l2_strength, t.losses - hard + 0.4 + 0.001 * hard) for t in rows]
    assert one_standard_error(easy).l2_strength == 1.0


def test_images_of_one_group_count_as_one_for_the_standard_error():
    hard = np.repeat(np.tile([0.0, 0.8], 10), 5)  # 20 groups of 5
    rows = [tried(100.0, hard + 0.06), tried(1.0, hard)]
    assert one_standard_error(rows).l2_strength == 1.0
    assert one_standard_error(rows, np.repeat(np.arange(20), 5)).l2_strength == 100.0


def test_more_folds_than_photos_leave_one_out():
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    probe = fit_probe(x, torch.tensor([0, 0, 1, 1]), 2, Probe(folds=10))
    assert (x @ probe.weight.T + probe.bias).argmax(1).tolist() == [0, 0, 1, 1]


def test_a_class_without_photos_is_never_predicted(clusters):
    x, y = clusters(60, 8, 3)
    probe = fit_probe(x, y, 5)
    assert torch.isfinite(probe.bias).all()
    assert set((x @ probe.weight.T + probe.bias).argmax(1).tolist()) == {0, 1, 2}


def test_the_loss_is_that_of_the_training_photos(clusters):
    x, y = clusters(spread=2.0)
    probe = fit_probe(x, y, 3)
    loss = torch.nn.functional.cross_entropy(x @ probe.weight.T + probe.bias, y)
    assert probe.loss == pytest.approx(float(loss), rel=1e-4)


def test_the_solution_goes_into_a_layer_with_or_without_bias(clusters):
    x, y = clusters()
    for bias in (True, False):
        layer = torch.nn.Linear(8, 3, bias=bias)
        probe = fit_probe(x, y, 3, bias=bias)
        probe.write_to(layer)
        torch.testing.assert_close(layer(x), x @ probe.weight.T + probe.bias)
        assert bias or probe.bias.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("features", "labels", "text"),
    [
        (torch.zeros(1, 2), [0], "at least two photos, got 1 and 1 labels"),
        (torch.zeros(3, 2), [0, 1], "at least two photos, got 3 and 2 labels"),
        (torch.zeros(3, 2), [1, 1, 1], "at least two classes"),
        (torch.zeros(3, 2), [0, 1, 3], "They index 3 classes, from 0 on"),
        (torch.zeros(3, 2), [-1, 0, 1], "The labels go from -1 to 1"),
        (torch.tensor([[0.0], [1.0], [np.nan]]), [0, 1, 2], "Check the weights of the network"),
        (torch.tensor([[0.0], [1.0], [np.inf]]), [0, 1, 2], "not finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(features, labels, text):
    with pytest.raises(DataError, match=text):
        fit_probe(features, torch.tensor(labels), 3)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"l2_strength": 0.0}, "l2_strength must be above 0 and finite, got 0.0"),
        ({"l2_strength": float("nan")}, "l2_strength must be above 0 and finite, got nan"),
        ({"l2_strength": float("inf")}, "l2_strength must be above 0 and finite, got inf"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_impossible_settings_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        Probe(**options)
