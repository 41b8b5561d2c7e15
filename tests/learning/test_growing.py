"""Probes on parts of the photos: stratified, inside each other, never judged on what they saw."""

import numpy as np
import pytest
import torch

from budwood.images.folds import make_folds
from budwood.learning import growing
from budwood.learning.growing import grown
from budwood.learning.probe import Probe, fit_probe

SHARES = (0.1, 0.2, 0.4, 0.8, 1.0)


def test_all_photos_of_the_other_folds_give_the_hits_of_probes_fitted_one_by_one(clusters):
    x, y = clusters(200, 12, 4, spread=2.5)
    *_, last = grown(x, y, 4, SHARES, penalty=5.0)
    folds, right = make_folds(y.numpy(), growing.FOLDS), np.empty(200)
    scaled = (x - x.mean(0)) / x.std(0, correction=0)
    for fold in range(growing.FOLDS):
        seen, out = torch.from_numpy(folds != fold), torch.from_numpy(folds == fold)
        probe = fit_probe(scaled[seen], y[seen], 4, Probe(penalty=5.0))
        named = (scaled[out] @ probe.weight.T + probe.bias).argmax(1)
        right[folds == fold] = (named == y[out]).numpy()
    assert last.photos == 160
    assert (last.hits == right).mean() > 0.97


def test_parts_rise_and_are_drawn_more_often_where_they_are_small(clusters):
    x, y = clusters(400, 6, 4, spread=2.5)
    parts = list(grown(x, y, 4, SHARES, penalty=5.0))
    assert [part.photos for part in parts] == [32, 64, 128, 256, 320]
    assert [part.draws for part in parts] == [2, 2, 2, 1, 1]
    assert all(len(part.hits) == 400 for part in parts)
    assert parts[0].hits.mean() < parts[-1].hits.mean()


def test_parts_are_stratified_and_inside_each_other():
    y = np.array([0] * 60 + [1] * 30 + [2] * 1)
    left = np.arange(91) % 5 != 0
    place = growing._places(y, left, 0)
    for share in SHARES:
        part = place < share
        assert not part[~left].any()
        for label, members in ((0, 48), (1, 24)):
            assert abs((part & (y == label)).sum() - share * members) <= 0.5
    assert ((place < 1.0) == left).all()


def test_parts_of_fewer_than_two_photos_a_class_are_passed_over(clusters):
    x, y = clusters(30, 6, 3)
    assert [part.share for part in grown(x, y, 3, SHARES, penalty=1.0)] == [0.2, 0.4, 0.8, 1.0]
    x, y = clusters(4, 6, 2)
    assert list(grown(x, y, 2, SHARES, penalty=1.0)) == []


def test_fitting_side_by_side_or_one_by_one_is_the_same(clusters, monkeypatch):
    x, y = clusters(120, 8, 3, spread=2.5)
    together = list(grown(x, y, 3, SHARES, penalty=2.0))
    monkeypatch.setattr(growing, "LARGEST", 1)
    alone = list(grown(x, y, 3, SHARES, penalty=2.0))
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.hits - other.hits).mean() < 0.01


def test_of_very_many_photos_only_some_are_held_out(clusters, monkeypatch):
    monkeypatch.setattr("budwood.learning.penalties.HELD_OUT", 50)
    x, y = clusters(200, 8, 4, spread=2.5)
    parts = list(grown(x, y, 4, SHARES, penalty=2.0))
    assert {len(part.hits) for part in parts} == {80}
    assert 0.2 < parts[-1].hits.mean() < 1


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_hits(clusters, seed):
    x, y = clusters(100, 8, 4, spread=2.5)
    one, two = (list(grown(x, y, 4, SHARES, penalty=2.0, seed=seed)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.hits, b.hits)
