"""Probes on parts of the images: stratified, inside each other, never judged on what they saw."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from budwood.learning import training_sizes as growing
from budwood.learning.probe import Probe, fit_probe
from budwood.learning.training_sizes import draw, partial_fits

SHARES = (0.125, 0.25, 0.5, 1.0)


def test_all_images_of_the_other_folds_give_the_hits_of_probes_fitted_one_by_one(clusters):
    x, y = clusters(200, 12, 4, spread=2.5)
    *_, last = partial_fits(x, y, 4, SHARES, l2_strength=5.0)
    right = np.empty(200)
    scaled = (x - x.mean(0)) / x.std(0, correction=0)
    for out in draw(y.numpy(), None, 0, 1).held_out:
        seen, out = torch.from_numpy(~out), torch.from_numpy(out)
        probe = fit_probe(scaled[seen], y[seen], 4, Probe(l2_strength=5.0 * 0.8))
        named = (scaled[out] @ probe.weight.T + probe.bias).argmax(1)
        right[out.numpy()] = (named == y[out]).numpy()
    assert last.images == 160
    assert (last.hits[1] == right).mean() > 0.97


def test_every_size_is_drawn_as_often_and_every_image_is_judged_in_every_draw(clusters):
    x, y = clusters(400, 6, 4, spread=2.5)
    parts = list(partial_fits(x, y, 4, SHARES, l2_strength=5.0))
    assert [part.images for part in parts] == [40, 80, 160, 320]
    assert {part.hits.shape for part in parts} == {(growing.DRAWS, 400)}
    assert all(np.isin(part.hits, (0, 1)).all() for part in parts)
    assert parts[0].hits.mean() < parts[-1].hits.mean()


def test_the_largest_size_differs_between_draws(clusters):
    *_, last = partial_fits(*clusters(200, 30, 4, spread=6.0), 4, SHARES, l2_strength=5.0)
    assert not any((a == b).all() for a, b in pairwise(last.hits))


def test_parts_are_stratified_and_inside_each_other():
    y = np.array([0] * 60 + [1] * 30 + [2])
    one = draw(y, None, 0, 0)
    for out, place in zip(one.held_out, one.places, strict=True):
        assert ((place < 1.0) == ~out).all()
        for share in SHARES:
            part = place < share
            for label in (0, 1):
                left = (~out & (y == label)).sum()
                assert abs((part & (y == label)).sum() - share * left) <= 1
            assert part[90] == (not out[90])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=6, max_size=60))
def test_no_group_is_torn_and_every_class_belongs(images):
    groups, y = (np.array(values) for values in zip(*images, strict=True))
    one = draw(y, groups, 3, 0)
    for out, place in zip(one.held_out, one.places, strict=True):
        for group in np.unique(groups):
            assert len(np.unique(place[groups == group])) == 1
        assert (np.isinf(place) == out).all()
        assert set(y[place < 0.1]) >= set(y[~out])


def test_classes_keep_their_shares_as_well_as_groups_allow():
    y = np.repeat([0, 1], 120)
    groups = np.arange(240) // 4
    one = draw(y, groups, 0, 0)
    for out, place in zip(one.held_out, one.places, strict=True):
        for label in (0, 1):
            left = (~out & (y == label)).sum()
            assert abs(((place < 0.5) & (y == label)).sum() - left / 2) <= 4


def test_seeds_and_draws_have_unrelated_folds_and_parts():
    y = np.arange(100) % 2
    draws = [draw(y, None, seed, number) for seed in (0, 1) for number in range(growing.DRAWS)]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert (one.held_out != other.held_out).any()
            # A hundred places that are unrelated agree no more than one in fifty, and the first.
            assert (one.places == other.places).mean() < 0.2


def test_parts_of_fewer_than_two_images_a_class_are_passed_over(clusters):
    x, y = clusters(30, 6, 3)
    assert [p.share for p in partial_fits(x, y, 3, SHARES, l2_strength=1.0)] == [0.25, 0.5, 1.0]
    x, y = clusters(4, 6, 2)
    assert list(partial_fits(x, y, 2, SHARES, l2_strength=1.0)) == []


@pytest.mark.parametrize("number", [1, 2])
def test_one_group_or_one_for_each_class_is_no_part(clusters, number):
    x, y = clusters(40, 6, 2)
    assert list(partial_fits(x, y, 2, SHARES, l2_strength=1.0, groups=y.numpy() % number)) == []


def test_fitting_side_by_side_or_one_by_one_is_the_same(clusters, monkeypatch):
    x, y = clusters(120, 8, 3, spread=2.5)
    together = list(partial_fits(x, y, 3, SHARES, l2_strength=2.0))
    monkeypatch.setattr(growing, "LARGEST", 1)
    alone = list(partial_fits(x, y, 3, SHARES, l2_strength=2.0))
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.hits - other.hits).mean() < 0.01


def test_of_very_many_images_only_some_are_held_out_in_each_draw(clusters, monkeypatch):
    monkeypatch.setattr("budwood.learning.regularisation.HELD_OUT", 50)
    x, y = clusters(200, 8, 4, spread=2.5)
    parts = list(partial_fits(x, y, 4, SHARES, l2_strength=2.0))
    assert {int(n) for part in parts for n in (~np.isnan(part.hits)).sum(1)} == {80}
    assert 0.2 < np.nanmean(parts[-1].hits) < 1


@pytest.mark.parametrize("seed", [0, 7])
def test_the_same_seed_gives_the_same_hits(clusters, seed):
    x, y = clusters(100, 8, 4, spread=2.5)
    one, two = (list(partial_fits(x, y, 4, SHARES, l2_strength=2.0, seed=seed)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.hits, b.hits)
