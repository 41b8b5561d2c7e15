"""What a head says of photos that it has not seen: the folds of the penalty have answered."""

import numpy as np
import pytest
import torch

from budwood.data.splitting import make_folds
from budwood.evaluation.calibration import fit_temperature
from budwood.learning import fitting
from budwood.learning.fitting import held_out_by_probe
from budwood.learning.probe import Probe, fit_probe, held_out_logits

PROBE = Probe()


def probed(features, labels, k, config=PROBE):
    solved = fit_probe(features, labels, k, config)
    return solved, held_out_by_probe(features, labels, k, solved, config, True)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_the_answers_of_the_penalty_search_are_those_of_folds_fitted_anew(clusters, rows, spread):
    x, y = clusters(300, 40, 4, spread=spread)
    solved, answers = probed(rows(x), y, 4)
    anew = held_out_logits(x, y, 4, make_folds(y.numpy()), solved.l2_strength)
    np.testing.assert_array_equal(answers.labels, y.numpy())
    apart = (answers.logits.exp() - anew.exp()).abs()
    assert apart.mean() < 2e-3
    assert apart.quantile(0.99) < 0.03
    assert (answers.logits.argmax(1) == anew.argmax(1)).float().mean() > 0.99
    temperatures = [fit_temperature(a.numpy(), y.numpy()) for a in (answers.logits, anew)]
    assert temperatures[0] == pytest.approx(temperatures[1], rel=0.02)


def test_nothing_is_fitted_anew_where_the_penalty_was_chosen(clusters, rows, monkeypatch):
    monkeypatch.setattr(fitting, "held_out_logits", None)
    x, y = clusters(60, 8, 3)
    solved, answers = probed(rows(x), y, 3)
    hits = (answers.logits.argmax(1) == y).float().mean()
    assert float(hits) == pytest.approx(solved.cross_validated_top1)


def test_folds_are_fitted_where_the_penalty_was_given(clusters, rows):
    x, y = clusters(60, 8, 3, spread=2.0)
    solved, answers = probed(rows(x), y, 3, Probe(l2_strength=2.0))
    assert solved.held_out is None
    anew = held_out_logits(x, y, 3, make_folds(y.numpy()), 2.0)
    assert torch.equal(answers.logits, anew)


def test_of_very_many_photos_those_that_were_held_out_answer(clusters, rows, monkeypatch):
    monkeypatch.setattr("budwood.learning.regularisation.HELD_OUT", 25)
    x, y = clusters(100, 8, 4, spread=2.0)
    solved, answers = probed(rows(x), y, 4)
    folds = make_folds(y.numpy())
    out = folds < 3
    np.testing.assert_array_equal(solved.held_out.positions, np.flatnonzero(out))
    np.testing.assert_array_equal(answers.labels, y.numpy()[out])
    anew = held_out_logits(x, y, 4, folds, solved.l2_strength)[torch.from_numpy(out)]
    assert (answers.logits.exp() - anew.exp()).abs().mean() < 2e-3


def test_photos_of_which_only_one_class_is_left_tell_nothing(rows):
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    assert probed(rows(x), y, 2)[1] is None
