"""A probe that is only judged: equal to scikit-learn's, fold by fold."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from budwood.errors import DataError
from budwood.learning.probe import Probe, cross_validated, fit_probe, folds_to_hold_out
from budwood.learning.streaming import FeatureRows


def drawn(n, d, k, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(k, size=n)
    x = random.normal(size=(n, d)) + 0.8 * random.normal(size=(k, d))[labels]
    return torch.tensor(x * 3 + 7, dtype=torch.float32), torch.tensor(labels)


def by_scikit_learn(x, labels, folds, l2_strength):
    z = StandardScaler().fit_transform(x.double().numpy())
    answers = np.empty((len(labels), len(np.unique(labels))))
    for fold in np.unique(folds):
        out = folds == fold
        share = (~out).mean()  # a fit has its part of the penalty
        model = LogisticRegression(C=1 / l2_strength / share, max_iter=10_000, tol=1e-8)
        model.fit(z[~out], labels.numpy()[~out])
        answers[out] = model.predict_log_proba(z[out])
    return answers


@pytest.mark.parametrize("shape", [(200, 20, 3), (60, 100, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_answer_is_that_of_scikit_learn_on_the_same_folds(shape, seed):
    x, labels = drawn(*shape, seed)
    found = cross_validated(FeatureRows(x), labels, shape[2], Probe(seed=seed))
    theirs = by_scikit_learn(x, labels, found.folds, found.l2_strength)
    differ = found.logits.argmax(1).numpy() != theirs.argmax(1)
    assert differ.sum() <= 1
    np.testing.assert_allclose(found.logits.exp().numpy(), np.exp(theirs), atol=0.003)


def test_the_penalty_is_that_of_a_head_that_is_fitted():
    x, labels = drawn(150, 30, 3, 5)
    config = Probe(seed=3)
    assert cross_validated(FeatureRows(x), labels, 3, config).l2_strength == (
        fit_probe(x, labels, 3, config).l2_strength
    )


def test_a_penalty_that_is_given_is_taken():
    x, labels = drawn(50, 5, 2, 1)
    assert cross_validated(FeatureRows(x), labels, 2, Probe(l2_strength=7.0)).l2_strength == 7.0


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 0, 1], [0, 0, 0]])
def test_photos_that_cannot_be_held_out_in_turn_are_refused(labels):
    with pytest.raises(DataError, match="Two classes must have two training photos each"):
        folds_to_hold_out(np.array(labels))


def test_a_class_of_one_photo_is_never_known():
    x, labels = drawn(30, 4, 2, 2)
    labels[7] = 2
    found = cross_validated(FeatureRows(x), labels, 3, Probe())
    assert found.logits[7].argmax() != 2


def test_features_that_are_not_finite_are_refused():
    x, labels = drawn(30, 4, 2, 3)
    x[3, 1] = float("inf")
    with pytest.raises(DataError, match="not finite"):
        cross_validated(FeatureRows(x), labels, 2, Probe())


def test_equal_photos_get_the_answer_that_knows_nothing():
    labels = torch.arange(20) % 2
    found = cross_validated(FeatureRows(torch.ones(20, 3)), labels, 2, Probe())
    assert torch.isfinite(found.logits).all()
