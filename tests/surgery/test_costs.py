"""Savings and costs of the classic ideas."""

import pytest

from budwood.classics.googlenet import WIDTHS
from budwood.course.costs import inception_costs, scaling_costs, table_of_phis
from budwood.errors import ConfigError


@pytest.mark.parametrize("position", WIDTHS)
def test_reductions_save_in_every_module(position):
    naive, reduced = inception_costs(position).rows
    assert reduced.parameters < naive.parameters / 2
    assert reduced.macs < naive.macs / 2


def test_the_naive_module_by_hand():
    naive = inception_costs("3a").rows[0]
    weights = 192 * (64 + 9 * 128 + 25 * 32)
    assert naive.parameters == weights + 64 + 128 + 32
    assert naive.macs == weights * 28 * 28


def test_width_depth_and_resolution_grow_apart_and_together():
    b0, width, depth, resolution, together = scaling_costs(2).rows
    assert resolution.parameters == b0.parameters
    assert max(width.macs, depth.macs, resolution.macs) < together.macs
    assert together.macs / b0.macs == pytest.approx(1.92**2, rel=0.3)
    assert b0.parameters < width.parameters < together.parameters


def test_the_table_shows_where_the_rule_was_left():
    rows = [line.split() for line in table_of_phis().splitlines()]
    assert rows[3] == ["B2", "1.1", "1.0", "1.2", "1.0", "260", "1.1"]
    assert rows[5] == ["B4", "1.4", "3.5", "1.8", "3.2", "380", "3.8"]


@pytest.mark.parametrize("phi", [-1, 21, float("nan")])
def test_an_impossible_phi_is_refused(phi):
    with pytest.raises(ConfigError, match="It must be from 0 to 20"):
        scaling_costs(phi)


def test_an_unknown_position_is_refused():
    with pytest.raises(ConfigError, match=r"no module '6a'\. There are 3a, 3b, 4a"):
        inception_costs("6a")
